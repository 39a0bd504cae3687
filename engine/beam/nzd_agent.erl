%% SPDX-License-Identifier: Apache-2.0
%%
%% The agent: the only code of nzd that runs in the node. Its modules are pushed
%% at once, under names that hold the digest of all of them, so a node never
%% runs one version while nzd speaks another. It answers questions, and it
%% performs the switch and the undo of one transaction at a time.
%%
%%   nzd_agent         the server, the fence
%%   nzd_agent_guard   keeps what an undo needs, starts the server again
%%   nzd_agent_act     the acts of a transaction
%%   nzd_agent_alone   deadlines, and what is done when nobody speaks
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
-export([reply/3, wait/2]).
%% Spawned by name, so that no closure of ours outlives an agent.
-export([server_init/3]).

-spec start(pid()) -> {ok, pid()} | {error, term()}.
start(Client) ->
    nzd_agent_guard:start(Client).

%% Pause, in milliseconds, is what the guard has it wait.
-spec server_init(pid(), {new, tuple()} | #state{}, non_neg_integer()) -> no_return().
server_init(Guard, Saved, Pause) ->
    true = register(?SERVER, self()),
    Guard ! {self(), registered},
    process_flag(trap_exit, true),
    timer:sleep(Pause),
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
            Alone = nzd_agent_alone:unwatched(Lone),
            loop(nzd_agent_alone:orphaned(nzd_agent_alone:start_timer(Alone)))
    end.

%% Who waits for an answer of the one before need not wait any longer.
tell_ended(#state{asked = none}) ->
    ok;
tell_ended(#state{asked = {From, Ref}}) ->
    reply(From, Ref, {error, ended}).

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
            loop(nzd_agent_alone:orphaned(nzd_agent_alone:unwatched(State#state{client = none})));
        retry_undo when State#state.client =:= none ->
            loop(nzd_agent_alone:orphaned(State));
        {Port, {exit_status, _}} when Port =:= State#state.recalled ->
            loop(nzd_agent_alone:recall_ended(State));
        retry_recall when State#state.client =:= none ->
            loop(nzd_agent_alone:recall(State));
        {timeout, Timer, deadline} when Timer =:= State#state.timer ->
            loop(nzd_agent_alone:expire(State));
        {timeout, Timer, restart} when Timer =:= State#state.timer ->
            loop(nzd_agent_alone:restart_alone(State));
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
    Stopped = nzd_agent_switch:stop_purger(nzd_agent_hook:stop_hook(nzd_agent_alone:unwatched(State))),
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
        on_disk, beams, held, object, priv, appups, callers, occupants, users, md5s, proof
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
        true -> nzd_agent_act:act(Request, nzd_agent_hook:stop_hook(State));
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
            Opened = (nzd_agent_act:reset(speaks(From, Epoch, Stopped)))#state{
                phase = open,
                txn = Txn,
                kill = proplists:get_value(kill, Options, []),
                recall = command(lists:keyfind(recover, 1, Options)),
                apps = nzd_agent_read:running(),
                names = nzd_agent_who:supervised_names()
            },
            {{ok, token()}, nzd_agent_guard:save(Opened)};
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
        Other when Other =:= none; Adopt ->
            %% Its transactions have numbers of their own.
            ok = persistent_term:put(?SETTLED, 0),
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
            State1 = nzd_agent_guard:save(speaks(From, Epoch, nzd_agent_hook:stop_hook(State))),
            {{ok, State1#state.phase}, State1};
        Token when State#state.phase =:= idle ->
            %% The agent was replaced or has forgotten: an undo from bytes.
            State1 = nzd_agent_guard:save((speaks(From, Epoch, State))#state{txn = Txn}),
            {{ok, idle}, State1};
        _ ->
            {{error, fenced}, State}
    end.
