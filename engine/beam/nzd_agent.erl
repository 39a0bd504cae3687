%% SPDX-License-Identifier: Apache-2.0
%%
%% The agent: the only code of nzd that runs in the node. Its modules are pushed
%% at once, under names that hold the digest of all of them, so a node never
%% runs one version while nzd speaks another. It answers questions, and it
%% performs the switch and the undo of one transaction at a time.
%%
%%   nzd_agent         the server and its guard, the fence, acts, trials
%%   nzd_agent_read    the questions
%%   nzd_agent_who     processes: who is in the way
%%   nzd_agent_switch  the switch, its undo, what is purged
%%   nzd_agent_users   who runs the callbacks of a module
%%   nzd_agent_state   suspends them, and puts back what they had
%%   nzd_agent_change  what becomes of their states
%%   nzd_agent_children what a changed supervisor starts and stops
%%   nzd_agent_live    what a switch changes besides code
%%   nzd_agent_env     the environment of applications
%%   nzd_agent_apps    applications that come and go
%%   nzd_agent_paths   what a later load and a restart find
%%   nzd_agent_hook    hooks
%%   nzd_agent_rehearse  each code_change beforehand, on a copy of a state
%%   nzd_agent_holders who holds structs of a module
%%   nzd_agent_shape   what a term looks like, without what it holds
%%   nzd_agent_probe   how the node does, for a soak
%%   nzd_agent_text    texts, terms and files for all of them
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
%% The trial of code that was booted goes open -> trial -> keeping or expired:
%% what init:restart/0 boots is the old code then, and only another boot brings it.
%%
%% `open` brings the command line of `nzd recover` where the VM may run it. It
%% is run again, ever more rarely, until somebody has taken over.
-module(nzd_agent).

-include("nzd_agent.hrl").

-export([start/1]).
-export([left/1, reply/3, reset/1, wait/2]).
%% Spawned by name, so that no closure of ours outlives an agent.
-export([server_init/2, guard_init/2, guard_adopt/2]).

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
    %% A load that the one before has asked for may still be under way: it is
    %% the code server's, who answers us behind it.
    _ = code:get_path(),
    nzd_agent_rehearse:sweep(),
    nzd_agent_probe:sweep(),
    case Saved of
        {new, Chores} ->
            Epoch = persistent_term:get(?EPOCH, 0),
            loop(nzd_agent_switch:start_purger(#state{guard = Guard, epoch = Epoch, chores = Chores}));
        #state{} ->
            tell_ended(Saved),
            Lone = Saved#state{guard = Guard, client = none, recalled = none, asked = none},
            Alone = unwatched(Lone),
            loop(orphaned(start_timer(Alone)))
    end.

%% Who waits for an answer of the one before need not wait any longer.
tell_ended(#state{asked = none}) ->
    ok;
tell_ended(#state{asked = {From, Ref}}) ->
    reply(From, Ref, {error, ended}).

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

loop(State) ->
    receive
        {attach, From, Ref, _Client, Module} ->
            attached(From, Ref, Module, State);
        {nzd, From, Ref, Fence, {call, M, F, Args, Timeout}} ->
            loop(fenced_hook(From, Ref, Fence, {M, F, Args, Timeout}, State));
        {nzd, From, Ref, _Fence, {rehearse, Parts, Code, Limits}} ->
            _ = nzd_agent_rehearse:start(From, Ref, {Parts, Code, Limits}),
            loop(State);
        {nzd, From, Ref, _Fence, {holders, Modules}} ->
            _ = nzd_agent_holders:start(From, Ref, Modules),
            loop(State);
        {nzd, From, Ref, Fence, Request} ->
            {Answer, State1} = answer(From, Ref, Fence, Request, State),
            reply(From, Ref, Answer),
            loop(State1#state{asked = none});
        {nodedown, Node} when
            is_pid(State#state.client), node(State#state.client) =:= Node
        ->
            loop(orphaned(unwatched(State#state{client = none})));
        retry_undo when State#state.client =:= none ->
            loop(orphaned(State));
        {Port, {exit_status, _}} when Port =:= State#state.recalled ->
            loop(recall_ended(State));
        retry_recall when State#state.client =:= none ->
            loop(recall(State));
        {timeout, Timer, deadline} when Timer =:= State#state.timer ->
            loop(expire(State));
        {timeout, Timer, restart} when Timer =:= State#state.timer ->
            loop(restart_alone(State));
        {said, _, _} = Said ->
            loop(State#state{watch = nzd_agent_probe:said(Said, State#state.watch)});
        {prepared, Preparer, Entry} when Preparer =:= State#state.preparer ->
            loop(State#state{old_prepared = [Entry | State#state.old_prepared]});
        {chores, Purger, Chores} when Purger =:= State#state.purger ->
            loop(nzd_agent_switch:did(Chores, State));
        _Stale ->
            loop(State)
    end.

attached(From, Ref, ?MODULE, State) ->
    From ! {Ref, ok},
    loop(State);
attached(From, Ref, _Other, #state{phase = Phase} = State) when
    Phase =:= idle; Phase =:= expired; Phase =:= undone
->
    Stopped = nzd_agent_switch:stop_purger(nzd_agent_hook:stop_hook(unwatched(State))),
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
    save(nzd_agent_switch:start_purger(reset(nzd_agent_hook:stop_hook(State))));
orphaned(#state{phase = switched} = State) ->
    case nzd_agent_live:undo(nzd_agent_hook:stop_hook(State)) of
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
    [Program | Arguments] = [nzd_agent_text:native(W) || W <- Words],
    Options = [
        {args, Arguments},
        {env, [{nzd_agent_text:native(Name), nzd_agent_text:native(Value)} || {Name, Value} <- Env]},
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

%% Whether it could or not is seen by who speaks now.
recall_ended(#state{recall_wait = Wait} = State) ->
    erlang:send_after(Wait, self(), retry_recall),
    State#state{recalled = none, recall_wait = min(2 * Wait, ?RECALL_WAIT_MAX)}.

start_timer(#state{phase = expired, back = true} = State) ->
    State#state{timer = erlang:start_timer(?ALONE, self(), restart)};
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
-spec left(#state{}) -> non_neg_integer().
left(#state{deadline = none}) -> 0;
left(#state{deadline = Deadline}) -> max(0, Deadline - erlang:monotonic_time(millisecond)).

%% Nobody has confirmed it. Blocked, it is tried again, and stays over.
expire(#state{phase = trial, back = Back} = State) when is_boolean(Back) ->
    Stopped = no_deadline(nzd_agent_hook:stop_hook(State)),
    spoken_for(start_timer(save(Stopped#state{phase = expired})));
expire(#state{phase = trial} = State) ->
    case nzd_agent_live:undo(nzd_agent_hook:stop_hook(State)) of
        {{ok, _, _}, Undone} ->
            spoken_for(save((no_deadline(Undone))#state{phase = expired}));
        {_, Blocked} ->
            %% An undo that is half done calls it switched; it stays over.
            Timer = erlang:start_timer(1000, self(), deadline),
            Blocked#state{phase = trial, timer = Timer}
    end.

spoken_for(#state{client = none} = State) -> orphaned(State);
spoken_for(State) -> State.

%% Nobody has come who could write it down. The journal has the trial, and takes
%% any restart for its end.
restart_alone(#state{phase = expired, client = none} = State) ->
    init:restart(),
    State#state{timer = none};
restart_alone(State) ->
    start_timer(State).

-spec reset(#state{}) -> #state{}.
reset(State0) ->
    State = nzd_agent_switch:stop_preparer(unwatched(no_deadline(State0))),
    State#state{
        phase = idle,
        begun = false,
        back = none,
        new = [],
        late = [],
        old = #{},
        old_prepared = [],
        unprepared = [],
        added = [],
        removed = [],
        lambdas = [],
        new_lambdas = [],
        live = none,
        kill = [],
        ended = [],
        migrate = {up, 5000, #{}},
        extras = #{},
        lower = old,
        vsns = #{},
        moved = none,
        recall = none
    }.

unwatched(State) ->
    State#state{watch = nzd_agent_probe:stop(State#state.watch)}.

answer(From, Ref, Fence, Request, State) ->
    try
        case is_question(Request) of
            true -> {nzd_agent_read:question(From, Ref, Request, State), State};
            false -> fenced_act(From, Fence, Request, asked(From, Ref, State))
        end
    catch
        Class:Reason:Stack ->
            Text = io_lib:format("~p:~0p ~0p", [Class, Reason, Stack]),
            {{error, {crash, nzd_agent_text:text(Text)}}, State}
    end.

%% So that it can be told how much longer an act takes.
asked(From, Ref, State) ->
    State#state{asked = {From, Ref}}.

-spec wait(pos_integer(), #state{}) -> term().
wait(_Ms, #state{asked = none}) -> ok;
wait(Ms, #state{asked = {From, Ref}}) -> reply(From, Ref, {wait, Ms}).

%% Who is gone is not called: for each answer to a late request the VM would
%% look for that node once more, and the agent wait.
-spec reply(pid(), term(), term()) -> term().
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
        true -> act(Request, nzd_agent_hook:stop_hook(State));
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
            nzd_agent_hook:start_hook(From, Ref, Call, State);
        false ->
            reply(From, Ref, {error, fenced}),
            State
    end.

open(From, {_, Txn, Epoch}, Owner, Options, #state{phase = Phase} = State) when
    Phase =:= idle; Phase =:= expired; Phase =:= undone
->
    case own(Owner, proplists:get_bool(adopt, Options)) of
        ok ->
            Stopped = nzd_agent_switch:stop_purger(nzd_agent_hook:stop_hook(State)),
            Opened = (reset(speaks(From, Epoch, Stopped)))#state{
                phase = open,
                txn = Txn,
                kill = proplists:get_value(kill, Options, []),
                recall = command(lists:keyfind(recover, 1, Options)),
                apps = nzd_agent_read:running(),
                names = nzd_agent_who:supervised_names()
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
            State1 = save(speaks(From, Epoch, nzd_agent_hook:stop_hook(State))),
            {{ok, State1#state.phase}, State1};
        Token when State#state.phase =:= idle ->
            %% The agent was replaced or has forgotten: an undo from bytes.
            State1 = save((speaks(From, Epoch, State))#state{txn = Txn}),
            {{ok, idle}, State1};
        _ ->
            {{error, fenced}, State}
    end.

%% The code to go back to. `Prepare`: compile it now, so an undo need not; or
%% `later`, while it is seen whether the new code stays.
act({old, Module, File, Bin, Prepare}, State) ->
    Name = atom_to_list(Module),
    case beam_lib:version(Bin) of
        {error, beam_lib, Why} ->
            {{error, {Module, nzd_agent_text:text(io_lib:format("~0p", [Why]))}}, State};
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
            Vsn = nzd_agent_text:vsn(nzd_agent_text:attributes(Bin)),
            {ok, State#state{
                new = [{Module, Prepared} | New],
                vsns = (State#state.vsns)#{Module => Vsn}
            }};
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
act({migrate, Way, Limit, Modules}, State) ->
    Lower =
        case Way of
            up -> old;
            down -> new
        end,
    {ok, State#state{migrate = {Way, Limit, maps:from_list(Modules)}, lower = Lower}};
act({extras, Extras}, State) ->
    {ok, State#state{extras = maps:from_list([{M, {Up, Down}} || {M, Up, Down} <- Extras])}};
%% What changes besides code; nothing is changed yet.
act({live, _, _, _, _, _} = Request, #state{phase = open} = State) ->
    nzd_agent_live:prepare(Request, State);
%% Where the files of priv lie that come into force with the code.
act({lay, Folders}, #state{phase = open, live = #{path := [_ | _]}} = State) ->
    {ok, nzd_agent_live:lay(folders(Folders), State)};
%% Behind a takeover, what the journal has kept of it.
act({kept, Bytes}, State) ->
    {ok, nzd_agent_live:kept(Bytes, State)};
act(switch, #state{phase = open} = State) ->
    %% Saved as switched before it is: an undo of nothing does nothing.
    Switching = save(nzd_agent_live:look(State#state{phase = switched})),
    case switch(Switching) of
        {{ok, _, _} = Ok, Done} -> {Ok, save(nzd_agent_switch:start_preparer(Done))};
        {Error, Undone} -> {Error, save(Undone)}
    end;
act(watch, State) ->
    {ok, State#state{watch = nzd_agent_probe:start()}};
act(unwatch, State) ->
    {ok, unwatched(State)};
act(readings, State) ->
    {Read, Watch} = nzd_agent_probe:readings(State#state.watch),
    {{readings, Read}, State#state{watch = Watch}};
act(validate, State) ->
    {validate(State, 2000), State};
%% Kept for so many milliseconds. Behind a takeover, from `idle`, what is left.
act({trial, Ms}, #state{phase = Phase} = State) when Phase =:= switched; Phase =:= idle ->
    Deadline = erlang:monotonic_time(millisecond) + Ms,
    Trial = start_timer(State#state{phase = trial, deadline = Deadline, begun = false}),
    {ok, save(Trial)};
act({trial, _Ms}, #state{phase = trial} = State) ->
    {ok, State};
%% Kept the same, of code that was booted. `Boot` is what init:restart/0 boots
%% from now on.
act({trial, Ms, Boot, Alone}, #state{phase = Phase} = State) when Phase =:= open; Phase =:= trial ->
    ok = nzd_agent_paths:remember_boot_file(),
    case nzd_agent_paths:restart_with(nzd_agent_text:native(Boot)) of
        ok ->
            Deadline = erlang:monotonic_time(millisecond) + Ms,
            Trial = (no_deadline(State))#state{phase = trial, deadline = Deadline, back = Alone},
            {ok, save(start_timer(Trial#state{begun = false}))};
        {error, _} = Error ->
            {Error, State}
    end;
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
        nzd_agent_switch:replaced(maps:keys(Old), State#state.lambdas, Past)
    },
    %% In a quiet node it is all gone before nzd says that it is done.
    Purging = nzd_agent_switch:start_purger((reset(nzd_agent_live:settled(State)))#state{chores = Chores}),
    {ok, save(nzd_agent_switch:purged_within(300, Purging))};
%% Where a later load finds the code in force, and a restart its script.
act({paths, Folders, Boot}, State) ->
    {nzd_agent_paths:put_paths(folders(Folders), Boot), State};
%% What is to be booted is laid out. The answer goes out before it all ends.
act({restart, Boot}, State) ->
    ok = nzd_agent_paths:remember_boot_file(),
    case nzd_agent_paths:restart_with(nzd_agent_text:native(Boot)) of
        ok -> {init:restart(), State};
        {error, _} = Error -> {Error, State}
    end;
act({apps, Specs}, State) ->
    Left = [A || {application, A, _} = S <- Specs, not nzd_agent_paths:put_app(S, 3)],
    {{apps, [atom_to_binary(A) || A <- Left]}, State};
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
act(moved, #state{moved = Moved} = State) ->
    {{moved, Moved}, State#state{moved = none}};
act({allow_kill, Kill}, State) ->
    {ok, State#state{kill = Kill}};
act(ended, #state{ended = Ended} = State) ->
    {{ended, lists:reverse(Ended)}, State#state{ended = []}};
act(undo, #state{phase = switched} = State) ->
    {Answer, State1} = nzd_agent_live:undo(State),
    {Answer, save(State1)};
act(undo, #state{phase = undone} = State) ->
    {{ok, 0, []}, nzd_agent_switch:start_purger(nzd_agent_switch:stop_purger(State))};
%% Nothing was loaded: forget it.
act(forget, #state{phase = Phase} = State) when
    Phase =:= open; Phase =:= undone; Phase =:= idle
->
    {ok, save(nzd_agent_switch:start_purger(reset(nzd_agent_switch:stop_purger(State))))};
act(_Request, State) ->
    {{error, {phase, State#state.phase}}, State}.

%% Whatever happens, nobody stays suspended.
switch(State) ->
    try
        nzd_agent_live:switch(State)
    catch
        Class:Reason:Stack ->
            {_, Undone} = nzd_agent_live:undo(State#state{new = []}),
            {{error, {crash, nzd_agent_text:printed({Class, Reason, Stack})}}, Undone}
    end.

remember_old(Module, Path, Bin, Prepare, State) ->
    Entry = {Path, Bin, code:module_md5(Bin), nzd_agent_text:attributes(Bin)},
    Old = (State#state.old)#{Module => Entry},
    Prepared =
        case Prepare =:= true andalso code:prepare_loading([{Module, Path, Bin}]) of
            {ok, P} -> [{Module, P}];
            _ -> []
        end,
    {ok, State#state{
        old = Old,
        old_prepared = Prepared ++ State#state.old_prepared,
        unprepared = [Module || Prepare =:= later] ++ State#state.unprepared
    }}.

folders(Folders) ->
    [{nzd_agent_text:native(B), nzd_agent_text:native(I)} || {B, I} <- Folders].

path(<<>>, Name) -> Name ++ ".beam";
path(File, _Name) -> unicode:characters_to_list(File).

validate(State, Left) ->
    Apps = State#state.apps -- nzd_agent_read:running(),
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
