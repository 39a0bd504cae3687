%% SPDX-License-Identifier: Apache-2.0
%%
%% The agent: the only code of nzd that runs in the node. It is pushed under
%% a name that holds the digest of this file, so a node never runs one
%% version of it while nzd speaks another. It answers questions, and it
%% performs the switch and the undo of one transaction at a time.
%%
%% Two processes: the server, registered as `nzd`, talks to the one nzd
%% that holds the journal; the guard keeps what an undo needs and starts the
%% server again, with it, when the server dies.
%%
%% Any number of nzd may ask; the one that opened the transaction, or took it
%% over, speaks for it, and only the loss of its link counts. A hook runs in
%% a process of its own, so that all are answered meanwhile; the speaker's
%% next act ends it.
%%
%% Every request is {nzd, From, Ref, {Token, Txn, Epoch}, Request}, every
%% answer {nzd, Ref, Answer}. Requests that change something are done only
%% for the token of this VM and the transaction and epoch of the last `open`
%% or `takeover`; others get {error, fenced}. Both of these bring a higher
%% epoch than any before them, in this agent or an earlier one of this VM, and
%% come from a node that is still linked: what a dead nzd has sent changes
%% nothing, however late it is read. Texts travel as UTF-8 binaries.
%%
%%   phase     what holds                               link lost
%%   idle      nothing is open                           nothing to do
%%   open      code is prepared, nothing is loaded        forget it
%%   switched  new code runs, the old one is at hand      undo
%%   trial     new code runs until the deadline           nothing to do; before
%%                                                        nzd said `begun`: run
%%                                                        `nzd recover`
%%   keeping   nzd was promised that new code stays       run `nzd recover`,
%%                                                        wait for a takeover
%%   expired   the deadline passed, old code runs again   the same
%%   undone    old code runs again                        wait for a takeover
%%
%% A trial is switched -> trial -> keeping (confirmed) or expired. At the deadline
%% the old code comes back whoever is linked or not. `confirm` is refused from
%% then on, and before it takes the deadline away: of both only one happens.
%%
%% `open` brings the command line of `nzd recover` where the VM may run it. It
%% is run again, ever more rarely, until somebody has taken over.
-module(nzd_agent).

-include_lib("kernel/include/file.hrl").

-export([start/1]).
%% Spawned by name, so that no closure of ours outlives an agent.
-export([server_init/2, guard_init/2, guard_adopt/2, purge_init/1, io_init/1]).
-export([hook_init/4, run_hook/4]).

-define(SERVER, nzd).
-define(TOKEN, {nzd, token}).
-define(OWNER, {nzd, owner}).
-define(BASE_BOOT, {nzd, base_boot}).
%% Which generation this VM has booted; an overlay's boot script puts it.
-define(BOOTED, {nzd, booted}).
%% The last one of the fence; a small integer, so putting it collects nothing.
-define(EPOCH, {nzd, epoch}).
-define(OUTPUT_MAX, 8192).
%% Looks at a process before it counts as staying where it is, and the
%% milliseconds between them.
-define(LOOKS, 4).
-define(LOOK_GAP, 15).
%% Questions to processes, one for each module, that are open at a time.
-define(CHECKS, 8192).
%% Frames that process_info(P, current_stacktrace) shows at most.
-define(FRAMES, 8).
%% Milliseconds before `nzd recover` is run once more, and at most.
-define(RECALL_WAIT, 1000).
-define(RECALL_WAIT_MAX, 300000).
%% Heap of a process whose stack is still printed, values and all.
-define(PRINTED_WORDS, (1 bsl 20)).

-record(state, {
    %% Who speaks for the transaction.
    client = none :: none | pid(),
    %% Runs a hook; ends with it.
    hook = none :: none | pid(),
    guard :: pid(),
    phase = idle :: idle | open | switched | trial | keeping | expired | undone,
    txn = 0 :: non_neg_integer(),
    epoch = 0 :: non_neg_integer(),
    %% [{Module, File, Prepared}], in one finish_loading; never used twice.
    new = [] :: [tuple()],
    %% [{Module, File, Bin}] with on_load, after the others.
    late = [] :: [tuple()],
    %% #{Module => {File, Bin, Md5, Attributes}}: the code to go back to.
    old = #{} :: map(),
    %% [{Module, Prepared}] of the old code, made where memory allows.
    old_prepared = [] :: [tuple()],
    added = [] :: [module()],
    removed = [] :: [module()],
    %% [{Module, Md5, Lambdas}] of the old code, to see who holds closures.
    lambdas = [] :: [tuple()],
    %% The same of the new code, for when an undo makes it the old one.
    new_lambdas = [] :: [tuple()],
    %% What the purger has left to do: modules whose old code is to go, modules
    %% that were removed, [{Module, Md5, Lambdas}] of the code that goes.
    chores = {[], [], []} :: {[module()], [module()], [tuple()]},
    kill = [] :: [term()],
    %% Who was ended by the operator's word, until nzd has asked.
    ended = [] :: [tuple()],
    apps = [] :: [atom()],
    names = [] :: [atom()],
    %% {[Program | Arguments], [{Name, Value}]} that settles the transaction.
    recall = none :: none | {[binary()], [{binary(), binary()}]},
    %% It runs.
    recalled = none :: none | port(),
    recall_wait = ?RECALL_WAIT :: pos_integer(),
    %% Of a trial, in milliseconds of the monotonic time; and its timer.
    deadline = none :: none | integer(),
    timer = none :: none | reference(),
    %% nzd said that the trial is in its journal.
    begun = false :: boolean(),
    purger = none :: none | pid()
}).

%%% --- start and guard --------------------------------------------------

-spec start(pid()) -> {ok, pid()} | {error, term()}.
start(Client) ->
    start(Client, {[], [], []}).

start(Client, Chores) ->
    case whereis(?SERVER) of
        undefined ->
            Guard = spawn(?MODULE, guard_init, [self(), Chores]),
            receive
                {Guard, Server} -> attach(Server, Client)
            after 5000 -> {error, {busy, <<"the agent did not start">>}}
            end;
        Server ->
            attach(Server, Client)
    end.

%% An agent of another nzd hands over what it had left to do.
attach(Server, Client) ->
    Ref = monitor(process, Server),
    Server ! {attach, self(), Ref, Client, ?MODULE},
    receive
        {Ref, ok} ->
            demonitor(Ref, [flush]),
            {ok, Server};
        {Ref, {error, Why}} ->
            demonitor(Ref, [flush]),
            {error, {busy, Why}};
        {Ref, {replace, Chores}} ->
            receive
                {'DOWN', Ref, process, Server, _} -> start(Client, Chores)
            end;
        {'DOWN', Ref, process, Server, _} ->
            timer:sleep(20),
            start(Client)
    end.

-spec guard_init(pid(), tuple()) -> no_return().
guard_init(Starter, Chores) ->
    guard_spawn(Starter, {new, Chores}).

%% The server has lost its guard.
-spec guard_adopt(pid(), #state{}) -> no_return().
guard_adopt(Server, Saved) ->
    guard_loop(Server, monitor(process, Server), Saved).

guard_spawn(Starter, Saved) ->
    {Server, Ref} = spawn_monitor(?MODULE, server_init, [self(), Saved]),
    receive
        {Server, registered} ->
            _ = [Starter ! {self(), Server} || is_pid(Starter)],
            guard_loop(Server, Ref, Saved);
        {'DOWN', Ref, process, Server, _} ->
            %% Another agent was faster.
            _ = [Starter ! {self(), whereis(?SERVER)} || is_pid(Starter)],
            exit(normal)
    end.

guard_loop(Server, Ref, Saved) ->
    receive
        {save, Server, State} ->
            Server ! {saved, self()},
            guard_loop(Server, Ref, State);
        {'DOWN', Ref, process, Server, normal} ->
            exit(normal);
        {'DOWN', Ref, process, Server, _} ->
            guard_spawn(none, Saved)
    end.

-spec server_init(pid(), {new, tuple()} | #state{}) -> no_return().
server_init(Guard, Saved) ->
    true = register(?SERVER, self()),
    Guard ! {self(), registered},
    process_flag(trap_exit, true),
    case Saved of
        {new, Chores} ->
            Epoch = persistent_term:get(?EPOCH, 0),
            loop(start_purger(#state{guard = Guard, epoch = Epoch, chores = Chores}));
        #state{} ->
            Alone = Saved#state{guard = Guard, client = none, recalled = none},
            loop(orphaned(start_timer(Alone)))
    end.

%% The guard must hold it before the act that needs it begins.
save(#state{guard = Guard} = State) ->
    Ref = monitor(process, Guard),
    Guard ! {save, self(), State},
    receive
        {saved, Guard} ->
            demonitor(Ref, [flush]),
            State;
        {'DOWN', Ref, process, Guard, _} ->
            save(State#state{guard = spawn(?MODULE, guard_adopt, [self(), State])})
    end.

%%% --- server -----------------------------------------------------------

loop(State) ->
    receive
        {attach, From, Ref, _Client, Module} ->
            attached(From, Ref, Module, State);
        {nzd, From, Ref, Fence, {call, M, F, Args, Timeout}} ->
            loop(fenced_hook(From, Ref, Fence, {M, F, Args, Timeout}, State));
        {nzd, From, Ref, Fence, Request} ->
            {Answer, State1} = answer(From, Ref, Fence, Request, State),
            reply(From, Ref, Answer),
            loop(State1);
        {nodedown, Node} when
            is_pid(State#state.client), node(State#state.client) =:= Node
        ->
            loop(orphaned(State#state{client = none}));
        retry_undo when State#state.client =:= none ->
            loop(orphaned(State));
        {Port, {exit_status, _}} when Port =:= State#state.recalled ->
            loop(recall_ended(State));
        retry_recall when State#state.client =:= none ->
            loop(recall(State));
        {timeout, Timer, deadline} when Timer =:= State#state.timer ->
            loop(expire(State));
        {chores, Purger, Chores} when Purger =:= State#state.purger ->
            loop(did(Chores, State));
        _Stale ->
            loop(State)
    end.

attached(From, Ref, ?MODULE, State) ->
    From ! {Ref, ok},
    loop(State);
attached(From, Ref, _Other, #state{phase = Phase} = State) when
    Phase =:= idle; Phase =:= expired; Phase =:= undone
->
    Stopped = stop_purger(stop_hook(State)),
    From ! {Ref, {replace, Stopped#state.chores}},
    unregister(?SERVER),
    exit(normal);
attached(From, Ref, _Other, State) ->
    Why = io_lib:format("transaction ~w is open under another nzd (~s)", [
        State#state.txn, ?MODULE
    ]),
    From ! {Ref, {error, unicode:characters_to_binary(Why)}},
    loop(State).

speaks(Client, Epoch, #state{client = Old} = State) ->
    _ = [monitor_node(node(Old), false) || is_pid(Old)],
    monitor_node(node(Client), true),
    persistent_term:put(?EPOCH, Epoch),
    State#state{client = Client, epoch = Epoch}.

%% The link is lost and nobody speaks for the transaction.
orphaned(#state{phase = open} = State) ->
    save(start_purger(reset(stop_hook(State))));
orphaned(#state{phase = switched} = State) ->
    case undo(stop_hook(State)) of
        {{ok, _, _}, State1} ->
            save(State1);
        {_, State1} ->
            erlang:send_after(1000, self(), retry_undo),
            State1
    end;
orphaned(State) ->
    recall(State#state{recall_wait = ?RECALL_WAIT}).

%% Has the transaction settled by a program outside, whose journal says how.
recall(#state{recalled = none, recall = {_, _}} = State) ->
    case waits_for_word(State) of
        true -> run_recall(State);
        false -> State
    end;
recall(State) ->
    State.

waits_for_word(#state{phase = trial, begun = Begun}) -> not Begun;
waits_for_word(#state{phase = Phase}) -> Phase =:= keeping orelse Phase =:= expired.

run_recall(#state{recall = {Words, Env}} = State) ->
    [Program | Arguments] = [native(W) || W <- Words],
    Options = [
        {args, Arguments},
        {env, [{native(Name), native(Value)} || {Name, Value} <- Env]},
        {cd, "/"},
        exit_status,
        stderr_to_stdout,
        hide
    ],
    try
        State#state{recalled = open_port({spawn_executable, Program}, Options)}
    catch
        error:_ -> recall_ended(State)
    end.

native(Bytes) ->
    case unicode:characters_to_list(Bytes) of
        Text when is_list(Text) -> Text;
        _ -> binary_to_list(Bytes)
    end.

%% Whether it could or not is seen by who speaks now.
recall_ended(#state{recall_wait = Wait} = State) ->
    erlang:send_after(Wait, self(), retry_recall),
    State#state{recalled = none, recall_wait = min(2 * Wait, ?RECALL_WAIT_MAX)}.

%%% --- a trial ----------------------------------------------------------

start_timer(#state{deadline = none} = State) ->
    State;
start_timer(#state{deadline = Deadline} = State) ->
    State#state{timer = erlang:start_timer(Deadline, self(), deadline, [{abs, true}])}.

%% Its message may be on the way: nobody waits for that reference any more.
no_deadline(#state{timer = none} = State) ->
    State#state{deadline = none};
no_deadline(#state{timer = Timer} = State) ->
    _ = erlang:cancel_timer(Timer),
    State#state{deadline = none, timer = none}.

%% Milliseconds; 0 as soon as the old code may come back.
left(#state{deadline = none}) -> 0;
left(#state{deadline = Deadline}) -> max(0, Deadline - erlang:monotonic_time(millisecond)).

%% Nobody has confirmed it. Blocked, it is tried again, and stays over.
expire(#state{phase = trial} = State) ->
    case undo(stop_hook(State)) of
        {{ok, _, _}, Undone} ->
            Expired = save((no_deadline(Undone))#state{phase = expired}),
            case Expired#state.client of
                none -> orphaned(Expired);
                _ -> Expired
            end;
        {_, Blocked} ->
            Timer = erlang:start_timer(1000, self(), deadline),
            Blocked#state{timer = Timer}
    end.

%% The clock that deadlines are told by; `none` where this host has no such.
host_clock() ->
    Boot = read("/proc/sys/kernel/random/boot_id"),
    case {Boot, read("/proc/uptime")} of
        {<<Id:36/binary, _/binary>>, <<Up/binary>>} ->
            [Seconds | _] = binary:split(Up, <<" ">>),
            {Id, round(binary_to_float(Seconds) * 1000)};
        _ ->
            none
    end.

reset(State0) ->
    State = no_deadline(State0),
    State#state{
        phase = idle,
        begun = false,
        new = [],
        late = [],
        old = #{},
        old_prepared = [],
        added = [],
        removed = [],
        lambdas = [],
        new_lambdas = [],
        kill = [],
        ended = [],
        recall = none
    }.

answer(From, Ref, Fence, Request, State) ->
    try
        case is_question(Request) of
            true -> {question(From, Ref, Request, State), State};
            false -> fenced_act(From, Fence, Request, State)
        end
    catch
        Class:Reason:Stack ->
            Text = io_lib:format("~p:~0p ~0p", [Class, Reason, Stack]),
            {{error, {crash, text(Text)}}, State}
    end.

%% Who is gone is not called: for each answer to a late request the VM would
%% look for that node once more, and the agent wait.
reply(From, Ref, Answer) ->
    erlang:send(From, {nzd, Ref, Answer}, [noconnect]).

is_question(Request) when is_atom(Request) ->
    lists:member(Request, [hello, clock, inventory, base_files]);
is_question(Request) ->
    lists:member(element(1, Request), [
        on_disk, beams, held, object, priv, callers, occupants, users, md5s, proof
    ]).

fenced_act(From, {_, _, Epoch} = Fence, {open, Owner, Options}, State) ->
    case is_late(From, Epoch, State) of
        false -> open(From, Fence, Owner, Options, State);
        true -> {{error, fenced}, State}
    end;
fenced_act(From, {_, _, Epoch} = Fence, {takeover, Owner}, State) ->
    case {is_late(From, Epoch, State), persistent_term:get(?OWNER, Owner)} of
        {true, _} -> {{error, fenced}, State};
        {false, Owner} -> takeover(From, Fence, State);
        {false, Other} -> {{error, {owner, Other}}, State}
    end;
fenced_act(_From, Fence, Request, State) ->
    case speaks_for(Fence, State) of
        true -> act(Request, stop_hook(State));
        false -> {{error, fenced}, State}
    end.

%% The loss of a link that is lost already would never be seen.
is_late(From, Epoch, State) ->
    Node = node(From),
    Epoch =< State#state.epoch orelse
        (Node =/= node() andalso not lists:member(Node, nodes(connected))).

speaks_for({Token, Txn, Epoch}, #state{txn = Txn, epoch = Epoch}) ->
    Token =:= persistent_term:get(?TOKEN, none);
speaks_for(_Fence, _State) ->
    false.

fenced_hook(From, Ref, Fence, Call, State) ->
    case speaks_for(Fence, State) of
        true ->
            start_hook(From, Ref, Call, State);
        false ->
            reply(From, Ref, {error, fenced}),
            State
    end.

%%% --- acts of a transaction --------------------------------------------

open(From, {_, Txn, Epoch}, Owner, Options, #state{phase = Phase} = State) when
    Phase =:= idle; Phase =:= expired; Phase =:= undone
->
    case own(Owner, proplists:get_bool(adopt, Options)) of
        ok ->
            Stopped = stop_purger(stop_hook(State)),
            Opened = (reset(speaks(From, Epoch, Stopped)))#state{
                phase = open,
                txn = Txn,
                kill = proplists:get_value(kill, Options, []),
                recall = command(lists:keyfind(recover, 1, Options)),
                apps = running(),
                names = supervised_names()
            },
            {{ok, token()}, save(Opened)};
        Error ->
            {Error, State}
    end;
open(_From, _Fence, _Owner, _Options, State) ->
    {{error, {busy, State#state.txn, State#state.phase}}, State}.

command({recover, [_ | _] = Words, Env}) -> {Words, Env};
command(false) -> none.

own(Owner, Adopt) ->
    case persistent_term:get(?OWNER, none) of
        Owner ->
            ok;
        none ->
            persistent_term:put(?OWNER, Owner);
        _Other when Adopt ->
            persistent_term:put(?OWNER, Owner);
        Other ->
            {error, {owner, Other}}
    end.

token() ->
    case persistent_term:get(?TOKEN, none) of
        none ->
            Token = erlang:md5(
                term_to_binary({
                    make_ref(),
                    erlang:monotonic_time(),
                    erlang:system_time(),
                    erlang:unique_integer(),
                    node(),
                    os:getpid()
                })
            ),
            persistent_term:put(?TOKEN, Token),
            Token;
        Token ->
            Token
    end.

%% A later nzd, or the same one on a new link, speaks for the transaction.
takeover(From, {Token, Txn, Epoch}, State) ->
    case persistent_term:get(?TOKEN, none) of
        Token when State#state.txn =:= Txn ->
            State1 = save(speaks(From, Epoch, stop_hook(State))),
            {{ok, State1#state.phase}, State1};
        Token when State#state.phase =:= idle ->
            %% The agent was replaced or has forgotten: an undo from bytes.
            State1 = save((speaks(From, Epoch, State))#state{txn = Txn}),
            {{ok, idle}, State1};
        _ ->
            {{error, fenced}, State}
    end.

%% The code to go back to. `Prepare`: compile it now, so an undo need not.
act({old, Module, File, Bin, Prepare}, State) ->
    Name = atom_to_list(Module),
    case beam_lib:version(Bin) of
        {error, beam_lib, Why} ->
            {{error, {Module, text(io_lib:format("~0p", [Why]))}}, State};
        {ok, {Module, _}} ->
            remember_old(Module, path(File, Name), Bin, Prepare, State);
        {ok, {Other, _}} ->
            {{error, {Module, {is_module, Other}}}, State}
    end;
%% New code, one module at a time: each compile is one short stall.
act({new, Module, File, Bin, false}, #state{new = New} = State) ->
    Path = path(File, atom_to_list(Module)),
    case code:prepare_loading([{Module, Path, Bin}]) of
        {ok, Prepared} ->
            {ok, State#state{new = [{Module, Prepared} | New]}};
        {error, [{_, on_load_not_allowed}]} ->
            Late = [{Module, Path, Bin} | State#state.late],
            {on_load, State#state{late = Late}};
        {error, [{_, Why}]} ->
            {{error, {Module, Why}}, State}
    end;
act({new, Module, File, Bin, true}, #state{late = Late} = State) ->
    Path = path(File, atom_to_list(Module)),
    {ok, State#state{late = [{Module, Path, Bin} | Late]}};
act({sets, Added, Removed, OldFuns, NewFuns}, State) ->
    {ok, State#state{
        added = Added,
        removed = Removed,
        lambdas = OldFuns,
        new_lambdas = NewFuns
    }};
act(switch, #state{phase = open} = State) ->
    %% Saved as switched before it is: an undo of nothing does nothing.
    Switching = save(State#state{phase = switched}),
    case switch(Switching) of
        {{ok, _, _} = Ok, Done} -> {Ok, save(Done)};
        {Error, Undone} -> {Error, save(Undone)}
    end;
act(validate, State) ->
    {validate(State, 2000), State};
%% Kept for so many milliseconds. Behind a takeover, from `idle`, what is left.
act({trial, Ms}, #state{phase = Phase} = State) when Phase =:= switched; Phase =:= idle ->
    Deadline = erlang:monotonic_time(millisecond) + Ms,
    Trial = start_timer(State#state{phase = trial, deadline = Deadline, begun = false}),
    {ok, save(Trial)};
act({trial, _Ms}, #state{phase = trial} = State) ->
    {ok, State};
act(begun, #state{phase = trial} = State) ->
    {ok, save(State#state{begun = true})};
act(confirm, #state{phase = trial} = State) ->
    case left(State) of
        0 -> {{error, {phase, expired}}, State};
        _ -> {ok, save((no_deadline(State))#state{phase = keeping})}
    end;
act(confirm, #state{phase = keeping} = State) ->
    {ok, State};
act(keep, #state{phase = switched} = State) ->
    {ok, save(State#state{phase = keeping})};
act(keep, #state{phase = keeping} = State) ->
    {ok, State};
act(done, #state{phase = keeping} = State) ->
    #state{old = Old, added = Added, removed = Removed} = State,
    {Stale, Gone, Past} = State#state.chores,
    Chores = {
        lists:usort(Stale ++ maps:keys(Old) ++ Added),
        lists:usort(((Gone -- maps:keys(Old)) -- Added) ++ Removed),
        replaced(maps:keys(Old), State#state.lambdas, Past)
    },
    %% In a quiet node it is all gone before nzd says that it is done.
    Purging = start_purger((reset(State))#state{chores = Chores}),
    {ok, save(purged_within(300, Purging))};
%% Where a later load finds the code in force, and a restart its script.
act({paths, Folders, Boot}, State) ->
    {put_paths([{native(B), native(I)} || {B, I} <- Folders], Boot), State};
%% What is to be booted is laid out. The answer goes out before it all ends.
act({restart, Boot}, State) ->
    ok = remember_boot_file(),
    case restart_with(native(Boot)) of
        ok -> {init:restart(), State};
        {error, _} = Error -> {Error, State}
    end;
act({apps, Specs}, State) ->
    {{apps, [atom_to_binary(A) || {application, A, _} = S <- Specs, not put_app(S, 3)]}, State};
%% What an undo after a takeover lacks when the agent has forgotten.
act(resume_undo, #state{phase = Phase} = State) when
    Phase =:= idle; Phase =:= trial; Phase =:= keeping; Phase =:= expired; Phase =:= undone
->
    {ok, save((no_deadline(State))#state{phase = switched})};
act(resume_undo, State) ->
    {ok, State};
%% The same before `done`: the commit stands, but nobody here knows it.
act(resume_keep, #state{phase = Phase} = State) when
    Phase =:= idle; Phase =:= keeping
->
    {ok, save(State#state{phase = keeping})};
act({allow_kill, Kill}, State) ->
    {ok, State#state{kill = Kill}};
act(ended, #state{ended = Ended} = State) ->
    {{ended, lists:reverse(Ended)}, State#state{ended = []}};
act(undo, #state{phase = switched} = State) ->
    {Answer, State1} = undo(State),
    {Answer, save(State1)};
act(undo, #state{phase = undone} = State) ->
    {{ok, 0, []}, start_purger(stop_purger(State))};
%% Nothing was loaded: forget it.
act(forget, #state{phase = Phase} = State) when
    Phase =:= open; Phase =:= undone; Phase =:= idle
->
    {ok, save(start_purger(reset(stop_purger(State))))};
act(_Request, State) ->
    {{error, {phase, State#state.phase}}, State}.

%% At one instant. A folder that the path lacks comes first.
put_paths(Folders, Boot) ->
    ok = remember_boot_file(),
    Now = code:get_path(),
    Base = [base_folder(P) || P <- Now],
    New =
        [I || {B, I} <- Folders, not lists:member(B, Base)] ++
            [proplists:get_value(B, Folders, B) || B <- Base],
    case New =:= Now orelse set_path(New) of
        true when Boot =:= <<>> -> ok;
        true -> restart_with(native(Boot));
        {error, _} = Error -> Error
    end.

%% What init:restart/0 boots. The configuration goes with the script: the file
%% beside it is read in place of the release's, which -config names first;
%% init:make_permanent/2 changes no other.
restart_with(Boot) ->
    File = filename:join(filename:dirname(Boot), "sys.config"),
    case {config_argument(), is_overlays_own(File)} of
        {none, true} -> {error, <<"-config does not name the release's sys.config first">>};
        {Is, false} when Is =:= none; Is =:= base -> init:make_permanent(Boot, false);
        _ -> restart_with(Boot, config_to_read(File))
    end.

restart_with(Boot, {ok, Config}) ->
    case init:make_permanent(Boot, Config) of
        ok -> name_config(Config);
        {error, _} = Error -> Error
    end;
restart_with(_Boot, {error, _} = Error) ->
    Error.

%% Elixir's config providers read it once more, by this name.
name_config(Config) ->
    case os:getenv("RELEASE_SYS_CONFIG") of
        false -> ok;
        _ -> true = os:putenv("RELEASE_SYS_CONFIG", Config), ok
    end.

%% What -config names first: the release's file, that of an overlay, a copy of
%% one of them that a release's script has made, or none of these.
config_argument() ->
    case init:get_argument(config) of
        {ok, [[First] | _]} -> kind_of_config(config_file(First));
        _ -> none
    end.

kind_of_config(File) ->
    Copy = os:getenv("RELEASE_SYS_CONFIG"),
    case boot_file() of
        none ->
            none;
        Boot ->
            Base = filename:join(filename:dirname(Boot), "sys.config"),
            Kinds = [
                {overlay, is_overlay(File)},
                {base, is_same_file(File, Base)},
                {copy, Copy =/= false andalso config_file(Copy) =:= File},
                {none, true}
            ],
            element(1, lists:keyfind(true, 2, Kinds))
    end.

config_file(Name) ->
    filename:absname(filename:rootname(Name, ".config") ++ ".config").

is_same_file(A, B) ->
    case {file:read_file_info(A), file:read_file_info(B)} of
        {{ok, #file_info{major_device = D, inode = I}}, {ok, #file_info{major_device = D, inode = I}}} ->
            true;
        _ ->
            A =:= B
    end.

%% Of a generation that has the base's it is a link.
is_overlays_own(File) ->
    is_overlay(File) andalso filelib:is_regular(File) andalso
        element(1, file:read_link(File)) =:= error.

%% One that Elixir writes to is copied first, as the release's script does.
config_to_read(File) ->
    case file:read_file(File) of
        {ok, Bytes} ->
            case binary:match(Bytes, <<"RUNTIME_CONFIG=true">>) of
                nomatch -> {ok, filename:rootname(File)};
                _ -> copy_config(Bytes, os:getenv("RELEASE_TMP"))
            end;
        {error, Reason} ->
            {error, {text(File), Reason}}
    end.

copy_config(_Bytes, false) ->
    {error, <<"RELEASE_TMP names no folder for a copy of sys.config">>};
copy_config(Bytes, Tmp) ->
    To = filename:join(Tmp, "nzd-" ++ os:getpid() ++ ".runtime"),
    _ = filelib:ensure_dir(To),
    case file:write_file(To ++ ".config", Bytes) of
        ok -> {ok, To};
        {error, _} = Error -> Error
    end.

%% A folder that has gone since is no reason to refuse all of them.
set_path(Path) ->
    case code:set_path(Path) of
        true -> true;
        {error, _} -> code:set_path([P || P <- Path, filelib:is_dir(P)])
    end.

%% A folder of an overlay names the one of the base that it stands for.
base_folder([$/ | _] = Path) ->
    case file:read_link(filename:join(Path, ".base")) of
        {ok, [$/ | _] = Base} -> Base;
        _ -> base_of_gone(Path, string:find(Path, "/nzd/overlay/"))
    end;
base_folder(Path) ->
    Path.

%% Code stays loaded from an overlay that has gone since. What is on the code
%% path instead stands for the same folder.
base_of_gone(Path, nomatch) ->
    Path;
base_of_gone(Path, _) ->
    case [P || [$/ | _] = P <- code:get_path(), P =/= Path, is_same_folder(P, Path)] of
        [Now | _] -> linked_base(Now, file:read_link(filename:join(Now, ".base")));
        [] -> Path
    end.

linked_base(_, {ok, [$/ | _] = Base}) -> Base;
linked_base(Now, _) -> Now.

%% ".../counter-0.1.0/ebin" and ".../counter-0.2.0/ebin", or "consolidated".
is_same_folder(A, B) ->
    folder_name(A) =:= folder_name(B).

folder_name(Path) ->
    case filename:basename(Path) of
        "ebin" -> {app, hd(string:split(filename:basename(filename:dirname(Path)), "-"))};
        Name -> Name
    end.

%% What application:get_key/2 and which_applications/0 tell of a loaded
%% application, as if it had been loaded with this specification. Its
%% environment is left alone: application_controller's own way would take each
%% key out for a moment, and lose what was set at run time.
%%
%% False: this OTP keeps what it tells in a form that is not known, and
%% nothing was changed. The form is that of OTP 24 to 28; see #appl{} and
%% #appl_data{} in kernel's application_controller.erl.
put_app(_Spec, 0) ->
    false;
put_app({application, App, Keys} = Spec, Tries) ->
    try ets:lookup(ac_tab, {loaded, App}) of
        [] ->
            true;
        [{{loaded, App}, Old}] ->
            case is_known(App, Old) andalso is_known(kernel) andalso is_known(stdlib) of
                true -> replace_app(App, Old, described(Old, Keys)) orelse put_app(Spec, Tries - 1);
                false -> put_app(Spec, Tries - 1)
            end
    catch
        error:badarg -> false
    end.

%% At one instant, and only where it still is what was looked at: nothing of
%% ours runs in application_controller, and what it does meanwhile stands.
replace_app(App, Old, New) ->
    Key = {loaded, App},
    1 =:=
        ets:select_replace(ac_tab, [
            {{Key, '$1'}, [{'=:=', '$1', {const, Old}}], [{{{const, Key}, {const, New}}}]}
        ]).

is_known(App) ->
    case ets:lookup(ac_tab, {loaded, App}) of
        [{_, Appl}] -> is_known(App, Appl);
        [] -> false
    end.

%% Each field is what the key of its name is told to be.
is_known(App, {appl, App, Data, Description, Id, Vsn, _Restart, Included, Optional, Apps}) ->
    case Data of
        {appl_data, App, Registered, Phases, Mod, Modules, MaxP, MaxT} ->
            lists:all(fun({Key, Value}) -> application:get_key(App, Key) =:= {ok, Value} end, [
                {description, Description},
                {id, Id},
                {vsn, Vsn},
                {included_applications, Included},
                {optional_applications, Optional},
                {applications, Apps},
                {registered, Registered},
                {start_phases, Phases},
                {mod, Mod},
                {modules, Modules},
                {maxP, MaxP},
                {maxT, MaxT}
            ]);
        _ ->
            false
    end;
is_known(_App, _Other) ->
    false.

%% With the defaults of application_controller.
described({appl, App, _, _, _, _, Restart, _, _, _}, Keys) ->
    Data = {
        appl_data,
        App,
        key(registered, Keys, []),
        key(start_phases, Keys, undefined),
        key(mod, Keys, []),
        key(modules, Keys, []),
        key(maxP, Keys, infinity),
        key(maxT, Keys, infinity)
    },
    {
        appl,
        App,
        Data,
        key(description, Keys, ""),
        key(id, Keys, ""),
        key(vsn, Keys, ""),
        Restart,
        key(included_applications, Keys, []),
        key(optional_applications, Keys, []),
        key(applications, Keys, [])
    }.

key(Key, Keys, Default) ->
    case lists:keyfind(Key, 1, Keys) of
        {_, Value} -> Value;
        false -> Default
    end.

remember_old(Module, Path, Bin, Prepare, State) ->
    Entry = {Path, Bin, code:module_md5(Bin), attributes(Bin)},
    Old = (State#state.old)#{Module => Entry},
    Prepared =
        case Prepare andalso code:prepare_loading([{Module, Path, Bin}]) of
            {ok, P} -> [{Module, P}];
            _ -> []
        end,
    {ok, State#state{
        old = Old,
        old_prepared = Prepared ++ State#state.old_prepared
    }}.

path(<<>>, Name) -> Name ++ ".beam";
path(File, _Name) -> unicode:characters_to_list(File).

attributes(Bin) ->
    case beam_lib:chunks(Bin, ["Attr"], [allow_missing_chunks]) of
        {ok, {_, [{_, Chunk}]}} when is_binary(Chunk) -> binary_to_term(Chunk);
        _ -> []
    end.

%%% --- the switch -------------------------------------------------------

switch(#state{new = New, late = Late} = State) ->
    Modules = [M || {M, _} <- New] ++ [M || {M, _, _} <- Late],
    case make_room(Modules, element(3, State#state.chores), State) of
        {ok, Ready} ->
            Begin = erlang:monotonic_time(),
            Loaded = finish(New),
            Pause = since(Begin),
            switched(Loaded, Pause, Ready#state{new = []});
        {{error, _} = Error, Blocked} ->
            {Error, nothing_loaded(Blocked)}
    end.

nothing_loaded(#state{ended = Ended} = State) ->
    (reset(State))#state{phase = undone, ended = Ended}.

switched(ok, Pause, #state{late = Late} = State) ->
    case load_late(lists:reverse(Late)) of
        ok ->
            Changed = maps:keys(State#state.old),
            {{ok, Pause, in_old_code(Changed)}, State};
        {error, _} = Error ->
            {_, Undone} = undo(State),
            {Error, Undone}
    end;
switched({error, _} = Error, _Pause, State) ->
    {Error, nothing_loaded(State)}.

%% One finish for all: the list inside a prepared term is that of
%% code:prepare_loading/1 with the lists of all put together.
finish([]) ->
    ok;
finish(Prepared) ->
    List = lists:append([L || {_, {'$prepared$', L}} <- Prepared]),
    case length(List) =:= length(Prepared) of
        true ->
            case code:finish_loading({'$prepared$', List}) of
                ok -> ok;
                {error, Why} -> {error, {finish, Why}}
            end;
        false ->
            {error, {finish, prepared_shape}}
    end.

load_late([]) ->
    ok;
load_late([{Module, Path, Bin} | Rest]) ->
    %% Only where no old code is left can load_binary/3 kill nobody.
    case erlang:check_old_code(Module) andalso code:soft_purge(Module) of
        true -> load_late_one(Module, Path, Bin, Rest);
        false ->
            case erlang:check_old_code(Module) of
                true -> {error, {in_the_way, in_old_code([Module]), []}};
                false -> load_late_one(Module, Path, Bin, Rest)
            end
    end.

load_late_one(Module, Path, Bin, Rest) ->
    case code:load_binary(Module, Path, Bin) of
        {module, Module} -> load_late(Rest);
        {error, Why} -> {error, {on_load, Module, Why}}
    end.

%% No module may have old code when new code is loaded over it. Old code
%% whose closures somebody holds is in the way too, unless the operator's word
%% is that what is in this module may end. {ok | {error, _}, State}.
make_room(Modules, Lambdas, State) ->
    Full = [M || M <- Modules, erlang:check_old_code(M)],
    Held = [
        Hold
     || {M, _, _} = Hold <- swept([L || {M, _, _} = L <- Lambdas, lists:member(M, Full)]),
        not lists:member(<<"all">>, State#state.kill),
        not lists:member(atom_to_binary(M), State#state.kill)
    ],
    case Held of
        [] -> make_room_among(Full, State, 3);
        _ -> {{error, {in_the_way, [], holders(Held)}}, State}
    end.

make_room_among(Full, State, Tries) ->
    case [M || M <- Full, erlang:check_old_code(M), not code:soft_purge(M)] of
        [] ->
            {ok, State};
        Blocked ->
            Who = in_old_code(Blocked),
            Ended = kill(Who, State#state.kill),
            State1 = State#state{ended = lists:reverse(Ended, State#state.ended)},
            case Tries > 0 andalso (Ended =/= [] orelse Who =:= []) of
                true ->
                    %% Ended, or gone between the purge and the look.
                    make_room_among(Blocked, State1, Tries - 1);
                false ->
                    {{error, {in_the_way, Who, []}}, State1}
            end
    end.

past_holders(Modules, State) ->
    swept([
        L
     || {M, _, _} = L <- element(3, State#state.chores),
        lists:member(M, Modules),
        erlang:check_old_code(M)
    ]).

holders(Held) ->
    [{M, atom_to_binary(F), N} || {M, F, N} <- Held].

%% Ends those that the operator named, and gives them.
kill(Who, Kill) ->
    Ended = lists:ukeysort(1, [W || {_, _, M, _, _} = W <- Who, may_kill(W, M, Kill)]),
    _ = [end_process(P) || {P, _, _, _, _} <- Ended],
    Ended.

may_kill({Pid, Name, _, _, _}, Module, Kill) ->
    lists:member(<<"all">>, Kill) orelse
        lists:member(text(pid_to_list(list_to_pid(binary_to_list(Pid)))), Kill) orelse
        (Name =/= <<>> andalso lists:member(Name, Kill)) orelse
        lists:member(atom_to_binary(Module), Kill).

end_process(PidText) ->
    Pid = list_to_pid(binary_to_list(PidText)),
    Ref = monitor(process, Pid),
    exit(Pid, kill),
    receive
        {'DOWN', Ref, process, Pid, _} -> ok
    after 2000 ->
        demonitor(Ref, [flush])
    end.

%%% --- the undo ---------------------------------------------------------

%% Old code back, all at one instant; what is old already is left alone, so
%% it can be repeated. Blocked: nothing was loaded, it can be tried again.
undo(#state{old = Old} = State) ->
    Begin = erlang:monotonic_time(),
    Back = [
        {M, E}
     || {M, {_, _, Md5, Attrs} = E} <- maps:to_list(Old),
        not runs(M, Md5, Attrs)
    ],
    case prepare_back(Back, State#state.old_prepared) of
        {error, _} = Error ->
            {Error, State};
        {Prepared, Late} ->
            %% Closures of the code to be loaded again are whole after it.
            case make_room([M || {M, _} <- Back], [], State) of
                {ok, Ready} -> undo_load(Prepared, Late, Begin, Ready);
                {Error, Blocked} -> {Error, Blocked#state{old_prepared = Prepared}}
            end
    end.

undo_load(Prepared, Late, Begin, State) ->
    case finish(Prepared) of
        ok ->
            case load_late(Late) of
                ok ->
                    Took = since(Begin),
                    {Left, Dropped} = drop_new(State),
                    {{ok, Took, Left}, Dropped#state{
                        phase = undone,
                        old_prepared = [],
                        new = []
                    }};
                Error ->
                    {Error, State#state{old_prepared = []}}
            end;
        Error ->
            {Error, State#state{old_prepared = Prepared}}
    end.

prepare_back(Back, Have) ->
    prepare_back(Back, Have, [], []).

prepare_back([], _Have, Prepared, Late) ->
    {Prepared, Late};
prepare_back([{M, {Path, Bin, _, _}} | Rest], Have, Prepared, Late) ->
    case lists:keyfind(M, 1, Have) of
        {M, _} = Entry ->
            prepare_back(Rest, Have, [Entry | Prepared], Late);
        false ->
            case code:prepare_loading([{M, Path, Bin}]) of
                {ok, P} ->
                    prepare_back(Rest, Have, [{M, P} | Prepared], Late);
                {error, [{_, on_load_not_allowed}]} ->
                    prepare_back(Rest, Have, Prepared, [{M, Path, Bin} | Late]);
                {error, Why} ->
                    {error, {prepare, Why}}
            end
    end.

runs(M, Md5, Attrs) ->
    erlang:module_loaded(M) andalso
        M:module_info(md5) =:= Md5 andalso
        lists:sort(M:module_info(attributes)) =:= lists:sort(Attrs).

%% The undone code goes softly, and then the modules it had added; what
%% is still held after half a second goes later, and is named.
drop_new(#state{added = Added, chores = {Stale, Gone, Past}} = State0) ->
    State = stop_purger(State0),
    Changed = maps:keys(State#state.old),
    Chores = {
        lists:usort(Changed ++ Stale),
        lists:usort(Added ++ Gone),
        replaced(Changed, State#state.new_lambdas, Past)
    },
    Left = purged_within(500, start_purger(State#state{chores = Chores})),
    {_, Stay, _} = Left#state.chores,
    {[M || M <- Stay, lists:member(M, Added)], Left}.

purged_within(Time, State) ->
    purged_by(erlang:monotonic_time(millisecond) + Time, State).

purged_by(_Deadline, #state{purger = none} = State) ->
    State;
purged_by(Deadline, #state{purger = Purger} = State) ->
    receive
        {chores, Purger, Chores} -> purged_by(Deadline, did(Chores, State))
    after max(0, Deadline - erlang:monotonic_time(millisecond)) -> State
    end.

%% What the purger says is left.
did({[], [], _}, State) -> State#state{chores = {[], [], []}, purger = none};
did(Chores, State) -> State#state{chores = Chores}.

delete(M) ->
    case erlang:module_loaded(M) of
        false ->
            true;
        true ->
            nobody_needs(M) andalso
                (not erlang:check_old_code(M) orelse code:soft_purge(M)) andalso
                code:delete(M) andalso
                (code:soft_purge(M) orelse true)
    end.

%% A server whose callbacks are in the module has no frame in it while it
%% waits; its next message would be its end.
nobody_needs(M) ->
    users([M]) =:= [] andalso
        not lists:any(
            fun(P) -> P =/= self() andalso inside(P, [M], #{M => true}) =/= none end,
            processes()
        ).

%%% --- after the commit -------------------------------------------------

%% A module has one old version: of those that changed, the one just replaced.
replaced(Modules, Lambdas, Past) ->
    [L || {M, _, _} = L <- Past, not lists:member(M, Modules)] ++ Lambdas.

start_purger(#state{chores = {[], [], _}} = State) ->
    State#state{chores = {[], [], []}, purger = none};
start_purger(#state{chores = Chores} = State) ->
    Purger = spawn_opt(?MODULE, purge_init, [Chores], [{priority, low}]),
    State#state{purger = Purger}.

%% What it has not done yet stays in `chores`.
stop_purger(#state{purger = none} = State) ->
    State;
stop_purger(#state{purger = Pid} = State) ->
    Ref = monitor(process, Pid),
    exit(Pid, kill),
    receive
        {'DOWN', Ref, process, Pid, _} -> last_chores(Pid, State#state{purger = none})
    end.

last_chores(Pid, State) ->
    receive
        {chores, Pid, Chores} -> last_chores(Pid, State#state{chores = Chores})
    after 0 -> State
    end.

%% Old code goes softly, never under a held closure; then what was removed.
-spec purge_init(tuple()) -> ok.
purge_init({Changed, Removed, Lambdas}) ->
    purge_loop(Changed, Removed, Lambdas, 50, 1).

purge_loop(Changed, Removed, Lambdas, Wait, Round) ->
    {Left, Stay} = purge_round(Changed, Removed, Lambdas),
    _ = [
        catch ?SERVER ! {chores, self(), {Left, Stay, Lambdas}}
     || Round =:= 1 orelse {Left, Stay} =/= {Changed, Removed}
    ],
    case {Left, Stay} of
        {[], []} ->
            ok;
        _ ->
            _ = [sweep() || Round =:= 4 orelse Round =:= 8 orelse Round rem 16 =:= 0],
            timer:sleep(Wait),
            purge_loop(Left, Stay, Lambdas, min(Wait * 2, 10000), Round + 1)
    end.

%% What is left of both after one try.
purge_round(Changed, Removed, Lambdas) ->
    Held = [M || {M, _, _} <- closures(Lambdas)],
    Left = [
        M
     || M <- Changed,
        erlang:check_old_code(M),
        lists:member(M, Held) orelse not code:soft_purge(M)
    ],
    Stay = [
        M
     || M <- Removed,
        Left =/= [] orelse lists:member(M, Held) orelse not delete(M)
    ],
    {Left, Stay}.

%%% --- who is in the way ------------------------------------------------

%% A closure may be garbage on the heap of an idle process: nobody is named
%% for that. Swept at most once a second, whoever asks.
swept(Lambdas) ->
    Now = erlang:monotonic_time(second),
    case closures(Lambdas) of
        [] ->
            [];
        _ ->
            _ = [sweep() || put(swept, Now) =/= Now],
            closures(Lambdas)
    end.

%% Has every process collect; one that cannot now is not waited for.
sweep() ->
    {Pid, Ref} = spawn_monitor(fun() ->
        All = [P || P <- processes(), P =/= self()],
        _ = [garbage_collect(P, [{async, P}]) || P <- All],
        _ = [receive {garbage_collect, P, _} -> ok end || P <- All]
    end),
    receive
        {'DOWN', Ref, process, Pid, _} -> ok
    after 500 ->
        exit(Pid, kill),
        demonitor(Ref, [flush])
    end.

%% Who holds closures: a fun of each lambda is built from its external form,
%% its reference count tells. Counted in a process of its own, whose heap
%% holds none of them; what nobody holds is seen on a fun of ours.
closures(Lambdas) ->
    {_, Ref} = spawn_monitor(fun() -> exit({held, held(lists:usort(Lambdas))}) end),
    receive
        {'DOWN', Ref, process, _, {held, Held}} -> Held;
        {'DOWN', Ref, process, _, _} -> []
    end.

held(Lambdas) ->
    Free = self(),
    Nobody = [
        element(2, erlang:fun_info(F, refc))
     || F <- [fun() -> ok end, fun() -> Free end]
    ],
    Base = lists:max([2 | [N || N <- Nobody, N < 4]]),
    [
        {M, Name, N - Base}
     || {M, Md5, Funs} <- Lambdas,
        {Name, Arity, Index, Count, Uniq} <- Funs,
        N <- [references(M, Md5, Arity, Index, Count, Uniq)],
        N > Base
    ].

references(M, Md5, Arity, Index, Count, Uniq) ->
    Name = atom_to_binary(M),
    <<131, Pid/binary>> = term_to_binary(self()),
    Free = binary:copy(<<97, 0>>, Count),
    Module =
        case byte_size(Name) of
            Short when Short < 256 -> <<119, Short, Name/binary>>;
            Long -> <<118, Long:16, Name/binary>>
        end,
    Body = <<
        Arity, Md5/binary, Index:32, Count:32, Module/binary, 98, Index:32,
        98, Uniq:32, Pid/binary, Free/binary
    >>,
    try binary_to_term(<<131, 112, (byte_size(Body) + 4):32, Body/binary>>) of
        Fun -> element(2, erlang:fun_info(Fun, refc))
    catch
        error:_ -> 0
    end.

%% {PidText, Name, Module, Function, Arity}: processes that the VM itself
%% finds in the old code of these modules.
in_old_code(Modules) ->
    case [M || M <- Modules, erlang:check_old_code(M)] of
        [] ->
            [];
        With ->
            Those = [P || P <- erlang:processes(), P =/= self()],
            Found = find_in_old(Those, With, max(1, ?CHECKS div length(With))),
            [who(P, M, frame(P, M)) || {P, M} <- Found]
    end.

%% Many at a time: a busy process answers only when it is scheduled, all that
%% it was asked until then at once.
find_in_old([], _With, _AtOnce) ->
    [];
find_in_old(Those, With, AtOnce) ->
    {Now, Later} = lists:split(min(AtOnce, length(Those)), Those),
    Tag = make_ref(),
    Asked = [
        erlang:check_process_code(P, M, [{async, {Tag, P, M}}])
     || P <- Now,
        M <- With
    ],
    found_in_old(Tag, length(Asked)) ++ find_in_old(Later, With, AtOnce).

found_in_old(_Tag, 0) ->
    [];
found_in_old(Tag, Left) ->
    receive
        {check_process_code, {Tag, P, M}, true} -> [{P, M} | found_in_old(Tag, Left - 1)];
        {check_process_code, {Tag, _, _}, _} -> found_in_old(Tag, Left - 1)
    end.

frame(P, M) ->
    case [F || {M1, _, _} = F <- stack(P, [M]), M1 =:= M] of
        [{_, Fun, Arity} | _] -> {Fun, Arity};
        [] -> {'', 0}
    end.

who(P, M, {Fun, Arity}) ->
    {text(pid_to_list(P)), name(P), M, atom_to_binary(Fun), Arity}.

name(P) ->
    case process_info(P, registered_name) of
        {registered_name, Name} when is_atom(Name) -> atom_to_binary(Name);
        _ -> <<>>
    end.

%% The frames of a process as {Module, Function, Arity}, innermost first. The
%% cheap way shows the first few; only a deeper stack costs a backtrace.
stack(P, Modules) ->
    case process_info(P, current_stacktrace) of
        {current_stacktrace, Frames} ->
            Mfas = [{M, F, A} || {M, F, A, _} <- Frames],
            Seen = [F || {M, _, _} = F <- Mfas, lists:member(M, Modules)],
            case Seen of
                [] when length(Frames) >= ?FRAMES -> deep_stack(P);
                _ -> Mfas
            end;
        undefined ->
            []
    end.

deep_stack(P) ->
    Pattern =
        "^(?:Program counter: |0x[0-9a-f]+ Return addr )0x[0-9a-f]+ "
        "\\(('?)(.+?)\\1:('?)(.+?)\\3/([0-9]+) \\+",
    case process_info(P, backtrace) of
        {backtrace, Bin} ->
            case re:run(Bin, Pattern, [multiline, global, {capture, [2, 4, 5], binary}]) of
                {match, Found} -> lists:flatmap(fun known_frame/1, Found);
                nomatch -> []
            end;
        undefined ->
            []
    end.

%% Frames name only atoms that exist.
known_frame([M, F, A]) ->
    try
        [{binary_to_existing_atom(M), binary_to_existing_atom(F), binary_to_integer(A)}]
    catch
        error:_ -> []
    end.

%% Processes that would stay in current code of these modules when it becomes
%% old: they have a frame in it on every look, and what lies below their
%% outermost one does not change. A server that is at work in its callbacks
%% goes back to its own loop in between, which writes other values there.
resident(Modules) ->
    Set = maps:from_keys(Modules, true),
    First = [
        {P, F}
     || P <- erlang:processes(),
        P =/= self(),
        P =/= whereis(?SERVER),
        {ok, F} <- [inside(P, Modules, Set)]
    ],
    Second = look_again(First, Modules, Set, 1),
    Below = maps:from_list([{P, below(P, Set)} || {P, _} <- Second]),
    [
        who(P, M, {F, A})
     || {P, {M, F, A}} <- look_again(Second, Modules, Set, ?LOOKS - 2),
        maps:get(P, Below) =:= below(P, Set)
    ].

look_again(Seen, _Modules, _Set, 0) ->
    Seen;
look_again([], _Modules, _Set, _Looks) ->
    [];
look_again(Seen, Modules, Set, Looks) ->
    timer:sleep(?LOOK_GAP),
    Again = [
        {P, F}
     || {P, _} <- Seen,
        {ok, F} <- [inside(P, Modules, Set)]
    ],
    look_again(Again, Modules, Set, Looks - 1).

%% A digest of the stack below the outermost frame in these modules, values
%% included; not of how deep it lies, which a collection may change. `large`
%% where printing it would cost more than it tells.
below(P, Set) ->
    case process_info(P, total_heap_size) of
        {total_heap_size, Words} when Words > ?PRINTED_WORDS ->
            large;
        undefined ->
            gone;
        _ ->
            case process_info(P, backtrace) of
                {backtrace, Text} -> below_last(frames(Text), Set);
                undefined -> gone
            end
    end.

%% "Program counter: A (M:F/N + D)", then of each caller
%% "A Return addr A (M:F/N + D)" and its values.
frames(Text) ->
    [
        re:replace(F, "^[0-9a-fx]+ Return addr", "", [{return, binary}])
     || F <- re:split(Text, "\n(?=0x[0-9a-f]+ Return addr )")
    ].

below_last(Frames, Set) ->
    Numbered = lists:zip(lists:seq(1, length(Frames)), Frames),
    Inside = [I || {I, F} <- Numbered, is_frame_of(F, Set)],
    erlang:md5(lists:nthtail(lists:max([0 | Inside]), Frames)).

is_frame_of(Frame, Set) ->
    Pattern = "^[^(\\n]*\\(('?)(.+?)\\1:",
    case re:run(Frame, Pattern, [{capture, [2], binary}]) of
        {match, [Name]} ->
            try
                maps:is_key(binary_to_existing_atom(Name), Set)
            catch
                error:badarg -> false
            end;
        nomatch ->
            false
    end.

inside(P, Modules, Set) ->
    case [F || {M, _, _} = F <- stack(P, Modules), maps:is_key(M, Set)] of
        [F | _] -> {ok, F};
        [] -> none
    end.

%%% --- questions --------------------------------------------------------

question(_From, _Ref, hello, State) ->
    {hello, hello(State)};
question(_From, _Ref, clock, State) ->
    {clock, host_clock(), left(State)};
question(_From, _Ref, inventory, #state{chores = {_, Gone, _}}) ->
    {inventory, apps(), [leaving(Row, Gone) || Row <- modules()]};
question(_From, _Ref, {on_disk, Names}, #state{chores = {_, Gone, _}}) ->
    Leaving = [atom_to_binary(M) || M <- Gone],
    {on_disk, lists:flatmap(fun on_disk/1, Names -- Leaving)};
question(From, Ref, {object, Names}, _State) ->
    _ = [reply(From, Ref, object(N)) || N <- Names],
    ok;
question(_From, _Ref, base_files, _State) ->
    {base_files, base_files()};
question(_From, _Ref, {held, Files}, _State) ->
    {held, [
        Row
     || {Name, Path} <- Files,
        Row <- file_entry(Name, unicode:characters_to_list(Path))
    ]};
question(_From, _Ref, {beams, Apps}, _State) ->
    {beams, lists:flatmap(fun beams/1, Apps)};
question(_From, _Ref, {priv, Apps}, _State) ->
    {priv, lists:flatmap(fun({App, Folder}) -> priv(App, Folder) end, Apps)};
question(_From, _Ref, {callers, Targets, Except}, _State) ->
    {callers, callers(Targets, Except)};
question(_From, _Ref, {occupants, Modules, Lambdas}, State) ->
    Loaded = [M || M <- Modules, erlang:module_loaded(M)],
    Lingering = in_old_code(Loaded),
    Old = [{P, M} || {P, _, M, _, _} <- Lingering],
    Resident = [W || {P, _, M, _, _} = W <- resident(Loaded), not lists:member({P, M}, Old)],
    {occupants, Lingering, Resident,
        holders(past_holders(Loaded, State)), holders(closures(Lambdas))};
question(_From, _Ref, {users, Modules}, _State) ->
    {users, users(Modules)};
question(_From, _Ref, {md5s, Modules}, _State) ->
    {md5s, [md5_of(M) || M <- Modules]};
question(_From, _Ref, {proof, Modules}, _State) ->
    {proof, lists:flatmap(fun on_disk_at/1, Modules)}.

hello(State) ->
    {Total, _} = erlang:statistics(wall_clock),
    #{
        phase => State#state.phase,
        txn => State#state.txn,
        epoch => State#state.epoch,
        left_ms => left(State),
        begun => State#state.begun,
        node => node(),
        otp => text(erlang:system_info(otp_release)),
        erts => text(erlang:system_info(version)),
        arch => text(erlang:system_info(system_architecture)),
        mode => code:get_mode(),
        pid => text(os:getpid()),
        root => text(code:root_dir()),
        uptime_ms => Total,
        processes => erlang:system_info(process_count),
        memory => erlang:memory(total),
        token => persistent_term:get(?TOKEN, none),
        owner => persistent_term:get(?OWNER, none),
        script => script_id(),
        overlay => is_overlay(boot_argument()),
        starting => element(1, init:get_status()) =:= starting,
        stopping => element(1, init:get_status()) =:= stopping,
        nzd_boot => env("NZD_BOOT"),
        booted => persistent_term:get(?BOOTED, 0),
        release_root => env("RELEASE_ROOT"),
        release_name => env("RELEASE_NAME"),
        release_version => env("RELEASE_VSN"),
        apps => running(),
        old_code => length([M || {M, _} <- code:all_loaded(), erlang:check_old_code(M)])
    }.

env(Name) ->
    case os:getenv(Name) of
        false -> <<>>;
        Value -> text(Value)
    end.

script_id() ->
    case init:script_id() of
        {Name, Version} -> {printed(Name), printed(Version)};
        _ -> {<<>>, <<>>}
    end.

running() ->
    [A || {A, _, _} <- application:which_applications()].

apps() ->
    Running = maps:from_keys(running(), true),
    [
        {A, text(V), app_dir(A), maps:is_key(A, Running)}
     || {A, _, V} <- application:loaded_applications()
    ].

app_dir(App) ->
    case code:lib_dir(App) of
        {error, _} -> <<>>;
        Dir -> text(Dir)
    end.

modules() ->
    Owner = maps:from_list([
        {M, A}
     || {A, _, _} <- application:loaded_applications(),
        {ok, Ms} <- [application:get_key(A, modules)],
        M <- Ms
    ]),
    Dirs = maps:from_list([
        {base_folder(filename:join(D, "ebin")), A}
     || {A, _, _} <- application:loaded_applications(),
        D <- [code:lib_dir(A)],
        is_list(D)
    ]),
    Loaded = [{M, P} || {M, P} <- code:all_loaded(), M =/= ?MODULE, not is_agent(M)],
    Folders = lists:foldl(fun note_folder/2, #{}, Loaded),
    [
        Row
     || {M, Path} <- Loaded,
        {Sticky, Base} <- [maps:get(folder(Path), Folders)],
        Row <- [module(M, in_folder(Base, Path), Sticky, Owner, Dirs)],
        element(3, Row) =/= none
    ].

%% Folders are sticky, so one module of each is asked for: an answer of the
%% code server comes late where the node is busy. One of an overlay is told
%% as that of the base.
note_folder({M, Path}, Folders) ->
    Folder = folder(Path),
    case Folders of
        #{Folder := _} -> Folders;
        _ -> Folders#{Folder => {code:is_sticky(M), base_folder(Folder)}}
    end.

folder(Path) when is_list(Path) -> filename:dirname(Path);
folder(Atom) -> Atom.

in_folder(Folder, Path) when is_list(Path) ->
    filename:join(Folder, filename:basename(Path));
in_folder(_Folder, Atom) ->
    Atom.

base_file(Path) ->
    in_folder(base_folder(folder(Path)), Path).

is_agent(M) ->
    lists:prefix("nzd_agent_", atom_to_list(M)).

module(M, Path, Sticky, Owner, Dirs) ->
    App =
        case Owner of
            #{M := A} -> A;
            _ when is_list(Path) -> maps:get(filename:dirname(Path), Dirs, '');
            _ -> ''
        end,
    Flags =
        1 bor
            flag(erlang:check_old_code(M), 2) bor
            flag(Sticky, 4) bor
            flag(Path =:= preloaded, 8),
    {M, App, info(M, md5), term_to_binary(info(M, attributes)),
        path_text(Path), Flags}.

%% What M:module_info(Key) asks. A call of a module that has just gone would
%% raise, or load it again from its file.
info(M, Key) ->
    try
        erlang:get_module_info(M, Key)
    catch
        error:badarg -> none
    end.

%% Removed by a committed transaction, and still there.
leaving({M, App, Md5, Attributes, Path, Flags}, Gone) ->
    {M, App, Md5, Attributes, Path, Flags bor flag(lists:member(M, Gone), 128)}.

flag(true, Bit) -> Bit;
flag(false, _Bit) -> 0.

path_text(Path) when is_list(Path) -> text(Path);
path_text(_Atom) -> <<>>.

%% Modules that are not loaded, as the code path would give them; those that
%% were loaded since the inventory was made, as they run.
on_disk(Name) ->
    try binary_to_existing_atom(Name) of
        M ->
            case erlang:module_loaded(M) of
                true -> [loaded_since(M, code:which(M))];
                false -> on_disk_file(Name, M)
            end
    catch
        error:badarg -> on_disk_file(Name, Name)
    end.

loaded_since(M, Found) when is_list(Found) ->
    Path = base_file(Found),
    module(M, Path, code:is_sticky(M), #{M => app_of(Path)}, #{});
loaded_since(M, Path) ->
    module(M, Path, code:is_sticky(M), #{}, #{}).

on_disk_file(Name, M) ->
    case code:where_is_file(binary_to_list(Name) ++ ".beam") of
        non_existing -> [];
        Path -> file_entry(M, Path)
    end.

file_entry(M, Found) ->
    Path = base_file(Found),
    case file:read_file(Found) of
        {ok, Bin} ->
            case code:module_md5(Bin) of
                undefined -> [];
                Md5 -> [{M, app_of(Path), Md5, term_to_binary(attributes(Bin)), text(Path), 0}]
            end;
        {error, _} ->
            []
    end.

%% Names of the modules that an application's folder holds.
beams(App) ->
    case code:lib_dir(binary_to_atom(App)) of
        {error, _} ->
            [];
        Dir ->
            Files = filelib:wildcard("*.beam", filename:join(Dir, "ebin")),
            [text(filename:rootname(F)) || F <- Files]
    end.

%% What the base's file of each module holds; code:which/1 names it, or that of
%% an overlay, which is not in force only because the VM was started from it.
on_disk_at(M) ->
    case code:which(M) of
        Path when is_list(Path), Path =/= [] -> file_entry(M, base_file(Path));
        _ -> []
    end.

app_of(Path) ->
    Folder = filename:basename(filename:dirname(filename:dirname(Path))),
    case string:split(Folder, "-", trailing) of
        [App | _] -> text(App);
        _ -> <<>>
    end.

%% The bytes that run: those on disk when their md5 is that of the memory.
object(Name) ->
    try
        M = binary_to_existing_atom(Name),
        {ok, Path, Bin} = object_file(M),
        Md5 = code:module_md5(Bin),
        case erlang:module_loaded(M) of
            true ->
                case runs(M, Md5, attributes(Bin)) of
                    true -> {object, Name, text(Path), Bin};
                    false -> {object, Name, differs}
                end;
            false ->
                {object, Name, text(Path), Bin}
        end
    catch
        error:_ -> {object, Name, missing}
    end.

object_file(M) ->
    Path =
        case code:which(M) of
            Which when is_list(Which), Which =/= [] -> Which;
            _ -> code:where_is_file(atom_to_list(M) ++ ".beam")
        end,
    {ok, Bin} = file:read_file(Path),
    {ok, Path, Bin}.

%% The files of the release the VM was started from, as they are on disk.
base_files() ->
    Boot = boot_file(),
    Root = release_root(Boot),
    {_, Version} = init:script_id(),
    Dir =
        case Boot of
            none -> none;
            _ -> filename:dirname(Boot)
        end,
    #{
        boot => read(Boot),
        elf => emulator(),
        boot_path => path_text(Boot),
        root => path_text(Root),
        version => printed(Version),
        sys_config => read(in(Dir, "sys.config")),
        vm_args => read(in(Dir, "vm.args")),
        env_script => read(in(Dir, "env.sh")),
        runtime_config => read(in(Dir, "runtime.exs")),
        app_files => [
            {A, read(F)}
         || {A, _, _} <- application:loaded_applications(),
            D <- [code:lib_dir(A)],
            is_list(D),
            F <- [filename:join(base_folder(filename:join(D, "ebin")), atom_to_list(A) ++ ".app")]
        ]
    }.

%% How the emulator's file begins: which machine it is for.
emulator() ->
    File = filename:join(os:getenv("BINDIR", ""), "beam.smp"),
    case file:open(File, [read, raw, binary]) of
        {ok, Fd} ->
            Read = file:read(Fd, 20),
            _ = file:close(Fd),
            case Read of
                {ok, Bytes} -> Bytes;
                _ -> <<>>
            end;
        {error, _} ->
            <<>>
    end.

in(none, _Name) -> none;
in(Dir, Name) -> filename:join(Dir, Name).

boot_file() ->
    Boot = boot_argument(),
    case is_overlay(Boot) of
        true -> unicode:characters_to_list(read(beside(Boot)));
        false when Boot =:= none -> persistent_term:get(?BASE_BOOT, none);
        false -> Boot
    end.

%% The overlay lies in RAM and may vanish; what it lies over stays known.
remember_boot_file() ->
    Known = persistent_term:get(?BASE_BOOT, none),
    case boot_file() of
        none -> ok;
        Known -> ok;
        File -> persistent_term:put(?BASE_BOOT, File)
    end.

%% The script that this VM has booted.
boot_argument() ->
    case init:get_argument(boot) of
        {ok, [[Boot | _] | _]} ->
            case filelib:is_regular(Boot ++ ".boot") of
                true -> filename:absname(Boot ++ ".boot");
                false -> none
            end;
        _ ->
            none
    end.

%% The file `base` beside an overlay's boot script names the one of the
%% release that lies below.
is_overlay(none) -> false;
is_overlay(Boot) -> filelib:is_regular(beside(Boot)).

beside(Boot) -> filename:join(filename:dirname(Boot), "base").

release_root(none) -> none;
release_root(Boot) -> filename:dirname(filename:dirname(filename:dirname(Boot))).

read(none) ->
    none;
read(File) ->
    case file:read_file(File) of
        {ok, Bin} -> Bin;
        {error, _} -> none
    end.

%% The base's, also where the code path names an overlay.
priv(App, Else) ->
    Dir =
        case code:lib_dir(binary_to_atom(App)) of
            {error, _} -> native(Else);
            Lib -> filename:dirname(base_folder(filename:join(Lib, "ebin")))
        end,
    [{App, F, S, D, L} || Dir =/= [], {F, S, D, L} <- files(Dir, "priv", false)].

%% Link: a symbolic one below priv leads there.
files(Root, Folder, Link) ->
    case file:list_dir(filename:join(Root, Folder)) of
        {ok, Names} ->
            lists:flatmap(
                fun(N) -> file_or_folder(Root, filename:join(Folder, N), Link) end,
                Names
            );
        {error, _} ->
            []
    end.

file_or_folder(Root, Path, Linked) ->
    Full = filename:join(Root, Path),
    Link = Linked orelse element(1, file:read_link(Full)) =:= ok,
    case file:read_file_info(Full) of
        {ok, Info} when element(3, Info) =:= directory ->
            files(Root, Path, Link);
        {ok, Info} when element(3, Info) =:= regular ->
            [{text(Path), element(2, Info), file_md5(Full), Link}];
        _ ->
            []
    end.

file_md5(File) ->
    case file:open(File, [read, raw, binary]) of
        {ok, Fd} ->
            Md5 = file_md5(Fd, erlang:md5_init()),
            _ = file:close(Fd),
            Md5;
        {error, _} ->
            <<0:128>>
    end.

file_md5(Fd, Context) ->
    case file:read(Fd, 65536) of
        {ok, Data} -> file_md5(Fd, erlang:md5_update(Context, Data));
        _ -> erlang:md5_final(Context)
    end.

%% Loaded code that imports one of the functions: {Caller, M, F, A}. A
%% target {M, '', 0} is a whole module.
callers(Targets, Except) ->
    Skip = maps:from_keys(Except, true),
    Wanted = maps:from_keys(Targets, true),
    Names = binary:compile_pattern([atom_to_binary(M) || {M, _, _} <- Targets]),
    [
        {Caller, M, F, A}
     || {Caller, Path} <- code:all_loaded(),
        is_list(Path),
        not maps:is_key(Caller, Skip),
        not is_agent(Caller),
        {M, F, A} <- imports(Path, Names),
        maps:is_key({M, F, A}, Wanted) orelse maps:is_key({M, '', 0}, Wanted)
    ].

%% A file that does not hold the name of a target cannot import it; most are
%% told apart by that. Compressed files are looked into.
imports(Path, Names) ->
    case file:read_file(Path) of
        {ok, <<"FOR1", _/binary>> = Bin} ->
            case binary:match(Bin, Names) of
                nomatch -> [];
                _ -> imports(Bin)
            end;
        {ok, Bin} ->
            imports(Bin);
        {error, _} ->
            []
    end.

imports(Bin) ->
    case beam_lib:chunks(Bin, [imports]) of
        {ok, {_, [{imports, Imports}]}} -> Imports;
        _ -> []
    end.

%% Live processes whose callback module is one of these.
users(Modules) ->
    Set = maps:from_keys(Modules, true),
    [
        {text(pid_to_list(P)), name(P), M}
     || P <- erlang:processes(),
        {initial_call, {proc_lib, init_p, _}} <- [process_info(P, initial_call)],
        {M, _, _} <- [callback(P)],
        maps:is_key(M, Set)
    ].

callback(P) ->
    case process_info(P, dictionary) of
        {dictionary, Dictionary} ->
            proplists:get_value('$initial_call', Dictionary, none);
        undefined ->
            none
    end.

md5_of(M) ->
    case info(M, md5) of
        none -> {M, none, none};
        Md5 -> {M, Md5, term_to_binary(info(M, attributes))}
    end.

%%% --- always-on checks -------------------------------------------------

%% Registered processes that a supervisor started.
supervised_names() ->
    [N || N <- registered(), is_supervised(whereis(N))].

is_supervised(P) when is_pid(P) ->
    case process_info(P, [dictionary, links]) of
        [{dictionary, D}, {links, Links}] ->
            Ancestors = proplists:get_value('$ancestors', D, []),
            case Ancestors of
                [Parent | _] ->
                    Pid = parent(Parent),
                    is_pid(Pid) andalso lists:member(Pid, Links) andalso
                        is_supervisor(Pid);
                _ ->
                    false
            end;
        undefined ->
            false
    end;
is_supervised(_Port) ->
    false.

parent(Parent) when is_atom(Parent) -> whereis(Parent);
parent(Parent) -> Parent.

is_supervisor(P) ->
    case callback(P) of
        {supervisor, _, _} -> true;
        {M, init, _} when M =/= none -> is_supervisor_module(M);
        _ -> false
    end.

is_supervisor_module(M) ->
    Attributes = M:module_info(attributes),
    Behaviours = lists:append([
        B
     || {K, B} <- Attributes, K =:= behaviour orelse K =:= behavior
    ]),
    lists:member(supervisor, Behaviours) orelse
        lists:member('Elixir.Supervisor', Behaviours) orelse
        lists:member('Elixir.DynamicSupervisor', Behaviours).

validate(State, Left) ->
    Apps = State#state.apps -- running(),
    Names = [N || N <- State#state.names, whereis(N) =:= undefined],
    case {Apps, Names} of
        {[], []} ->
            ok;
        _ when Left > 0, Apps =:= [] ->
            timer:sleep(50),
            validate(State, Left - 50);
        _ ->
            {missing, [atom_to_binary(A) || A <- Apps], [
                atom_to_binary(N)
             || N <- Names
            ]}
    end.

%%% --- hooks ------------------------------------------------------------

start_hook(From, Ref, Call, State) ->
    #state{} = stop_hook(State),
    State#state{hook = spawn(?MODULE, hook_init, [self(), From, Ref, Call])}.

stop_hook(#state{hook = none} = State) ->
    State;
stop_hook(#state{hook = Pid} = State) ->
    Ref = monitor(process, Pid),
    Pid ! {stop_hook, self()},
    receive
        {'DOWN', Ref, process, Pid, _} -> State#state{hook = none}
    end.

-spec hook_init(pid(), pid(), term(), tuple()) -> ok.
hook_init(Agent, From, Ref, {M, F, Args, Timeout}) ->
    AgentRef = monitor(process, Agent),
    reply(From, Ref, call(M, F, Args, Timeout, {Agent, AgentRef})),
    ok.

call(M, F, Args, Timeout, {Agent, AgentRef}) ->
    Io = spawn(?MODULE, io_init, [self()]),
    {Pid, Ref} = spawn_monitor(?MODULE, run_hook, [Io, M, F, Args]),
    Result =
        receive
            {'DOWN', Ref, process, Pid, {hook, Value}} ->
                value(Value);
            {'DOWN', Ref, process, Pid, Reason} ->
                {failed, printed({exit, Reason})};
            {stop_hook, Agent} ->
                end_hook(Pid, Ref);
            {'DOWN', AgentRef, process, Agent, _} ->
                end_hook(Pid, Ref)
        after Timeout ->
            end_hook(Pid, Ref)
        end,
    Io ! {stop, self()},
    Output =
        receive
            {Io, Text} -> Text
        after 1000 -> <<>>
        end,
    {called, Result, Output}.

end_hook(Pid, Ref) ->
    exit(Pid, kill),
    receive
        {'DOWN', Ref, process, Pid, _} -> timeout
    after 1000 ->
        demonitor(Ref, [flush]),
        timeout
    end.

value({value, ok}) -> {passed, <<"ok">>};
value({value, true}) -> {passed, <<"true">>};
value({value, Other}) -> {failed, printed(Other)};
value({raised, Text}) -> {failed, Text}.

-spec run_hook(pid(), module(), atom(), [term()]) -> no_return().
run_hook(Io, M, F, Args) ->
    group_leader(Io, self()),
    Value =
        try
            {value, apply(M, F, [binary_to_term(A) || A <- Args])}
        catch
            Class:Reason:Stack ->
                Short = [setelement(4, S, []) || S <- lists:sublist(Stack, 3), tuple_size(S) =:= 4],
                {raised, printed({Class, Reason, Short})}
        end,
    exit({hook, Value}).

%% What a hook prints is kept, up to a bound.
-spec io_init(pid()) -> ok.
io_init(Owner) ->
    monitor(process, Owner),
    io_loop(Owner, []).

io_loop(Owner, Output) ->
    receive
        {io_request, From, ReplyAs, Request} ->
            {Reply, Text} = io_put(Request),
            From ! {io_reply, ReplyAs, Reply},
            case iolist_size(Output) of
                N when N < ?OUTPUT_MAX -> io_loop(Owner, [Output, Text]);
                _ -> io_loop(Owner, Output)
            end;
        {stop, Owner} ->
            All = iolist_to_binary(Output),
            Owner ! {self(), binary:part(All, 0, min(?OUTPUT_MAX, byte_size(All)))},
            ok;
        {'DOWN', _, process, Owner, _} ->
            ok;
        _ ->
            io_loop(Owner, Output)
    end.

io_put({put_chars, Encoding, Chars}) ->
    {ok, io_text(Chars, Encoding)};
io_put({put_chars, Encoding, M, F, Args}) ->
    {ok,
        io_text(
            try
                apply(M, F, Args)
            catch
                _:_ -> []
            end,
            Encoding
        )};
io_put(_Other) ->
    {{error, enotsup}, <<>>}.

io_text(Chars, Encoding) ->
    case unicode:characters_to_binary(Chars, Encoding, utf8) of
        Bin when is_binary(Bin) -> Bin;
        _ -> <<>>
    end.

%%% --- small things -----------------------------------------------------

since(Begin) ->
    erlang:convert_time_unit(erlang:monotonic_time() - Begin, native, microsecond).

text(Chars) ->
    case unicode:characters_to_binary(Chars) of
        Bin when is_binary(Bin) -> Bin;
        _ -> iolist_to_binary(io_lib:format("~0p", [Chars]))
    end.

%% A term for people, bounded.
printed(Text) when is_list(Text), Text =/= [] ->
    case io_lib:printable_unicode_list(Text) of
        true -> text(Text);
        false -> cut(text(io_lib:format("~0tP", [Text, 30])))
    end;
printed(Term) ->
    cut(text(io_lib:format("~0tP", [Term, 30]))).

cut(Text) when byte_size(Text) =< 400 -> Text;
cut(Text) -> <<(string:slice(Text, 0, 390))/binary, "...">>.
