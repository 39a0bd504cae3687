%% SPDX-License-Identifier: Apache-2.0
%% What the agent does by itself in its node: what tests ask of it there.
-module(nzd_test_agent).
-behaviour(gen_server).

-export([crash_for/1, first_word/0, tell_while_busy/1]).
-export([init/1, handle_call/3, handle_cast/2, code_change/3]).

%% It crashes whenever it takes up its work, for so many milliseconds: how many
%% of it there were.
-spec crash_for(pos_integer()) -> pos_integer().
crash_for(Ms) ->
    crash(erlang:monotonic_time(millisecond) + Ms, []).

crash(Until, Seen) ->
    case erlang:monotonic_time(millisecond) < Until of
        true ->
            timer:sleep(1),
            crash(Until, crashed(whereis(nzd), Seen));
        false ->
            length(Seen)
    end.

crashed(undefined, Seen) ->
    Seen;
crashed(Agent, Seen) ->
    case lists:member(Agent, Seen) of
        true ->
            Seen;
        false ->
            %% Nobody to whom an answer could be sent.
            Agent ! {nzd, ?MODULE, ref, fence, clock},
            [Agent | Seen]
    end.

%% A process that was suspended gets the first of the messages alone that let it
%% go on: the agent has ended behind it. Whether it runs, and what it keeps.
-spec first_word() -> {term(), list()}.
first_word() ->
    {Pid, Ref} = spawn_monitor(fun() -> exit({said, first_word(agent("state"))}) end),
    receive
        {'DOWN', Ref, process, Pid, {said, Said}} -> Said
    end.

first_word(State) ->
    {ok, P} = gen_server:start(?MODULE, [], []),
    {ok, Held} = State:suspend(#{?MODULE => true}, 1000),
    1 = erlang:trace(P, true, ['receive']),
    _ = State:resume(Held),
    First =
        receive
            {trace, P, 'receive', {system, _, _} = Message} -> Message
        end,
    1 = erlang:trace(P, false, ['receive']),
    {ok, _} = State:suspend(#{?MODULE => true}, 1000),
    P ! First,
    Said =
        try
            gen_server:call(P, what, 2000)
        catch
            exit:{timeout, _} -> suspended
        end,
    {dictionary, Dictionary} = process_info(P, dictionary),
    exit(P, kill),
    {Said, [K || {{'$nzd_kept', _} = K, _} <- Dictionary]}.

%% config_change/3 is to be called, and application_controller does not say of
%% whom: what comes of it within the limit.
-spec tell_while_busy(pos_integer()) -> term().
tell_while_busy(Limit) ->
    ok = sys:suspend(application_controller),
    try
        (agent("env")):tell([{kernel, nzd_test, absent, {value, 1}, false}], Limit)
    after
        ok = sys:resume(application_controller)
    end.

agent(Room) ->
    [Module] = [
        A
     || {A, _} <- code:all_loaded(),
        lists:prefix("nzd_agent_", atom_to_list(A)),
        lists:suffix("_" ++ Room, atom_to_list(A))
    ],
    Module.

init(State) -> {ok, State}.

handle_call(what, _From, State) -> {reply, runs, State}.

handle_cast(_, State) -> {noreply, State}.

code_change(_Vsn, State, _Extra) -> {ok, State}.
