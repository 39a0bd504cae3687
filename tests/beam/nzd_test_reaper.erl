%% SPDX-License-Identifier: Apache-2.0
%% The points of the agent itself: each of its functions that it calls in a
%% transaction, or any process of its in a rehearsal, in the order of their first
%% calls. Behind one of them somebody is killed, or the link to nzd is cut; and
%% behind one of the agent that comes after it that one is killed, too.
-module(nzd_test_reaper).

-export([start/0, start/3, stop/0]).
-export([watch/4]).

%% Counts them.
-spec start() -> ok.
start() ->
    start(none, 0, 0).

%% At the N-th; and of the next agent at the M-th, unless it is 0. `guard` is the
%% caller in a rehearsal.
-spec start(none | agent | both | guard | link, non_neg_integer(), non_neg_integer()) -> ok.
start(Victim, N, M) ->
    {Pid, Ref} = spawn_monitor(?MODULE, watch, [self(), Victim, N, M]),
    receive
        {Pid, ready} ->
            demonitor(Ref, [flush]),
            ok;
        {'DOWN', Ref, process, Pid, Why} ->
            error(Why)
    end.

%% "room:function/arity" of each up to that which it struck at.
-spec stop() -> [string()].
stop() ->
    Ref = monitor(process, ?MODULE),
    ?MODULE ! {stop, self(), Ref},
    receive
        {Ref, Points} ->
            demonitor(Ref, [flush]),
            Points;
        {'DOWN', Ref, process, _, Why} ->
            error(Why)
    end.

watch(From, Victim, N, M) ->
    true = register(?MODULE, self()),
    _ = process_flag(priority, max),
    Agent = whereis(nzd),
    true = is_pid(Agent),
    _ = [erlang:trace_pattern({A, '_', '_'}, true, [local]) || A <- agents()],
    trace(Agent),
    From ! {self(), ready},
    quiet(Victim, N, M).

agents() ->
    [A || {A, _} <- code:all_loaded(), lists:prefix("nzd_agent", atom_to_list(A))].

trace(Agent) ->
    _ = erlang:trace(Agent, true, [call, arity, set_on_spawn, {tracer, self()}]),
    ok.

%% What it is asked before counts not.
quiet(Victim, N, M) ->
    receive
        {stop, From, Ref} ->
            stopped(From, Ref, []);
        {trace, Agent, call, {_, open, 5}} ->
            counting(Agent, Victim, N, M, []);
        {trace, Agent, call, {_, takeover, 3}} ->
            counting(Agent, Victim, N, M, []);
        {trace, _, call, {_, keep, 4}} ->
            counting(any, Victim, N, M, []);
        {trace, _, call, _} ->
            quiet(Victim, N, M)
    end.

counting(Who, Victim, N, M, Seen) ->
    receive
        {stop, From, Ref} ->
            stopped(From, Ref, Seen);
        {trace, Caller, call, Point} when Caller =:= Who; Who =:= any ->
            case lists:member(Point, Seen) of
                true -> counting(Who, Victim, N, M, Seen);
                false -> counted(Who, Caller, Victim, N, M, [Point | Seen])
            end;
        {trace, _, call, _} ->
            counting(Who, Victim, N, M, Seen)
    end.

counted(Who, _Caller, Victim, N, M, Seen) when length(Seen) =/= N ->
    counting(Who, Victim, N, M, Seen);
counted(any, Caller, guard, _N, _M, Seen) ->
    exit(Caller, kill),
    waiting(Seen);
counted(_Who, _Caller, Victim, _N, M, Seen) ->
    Agent = whereis(nzd),
    strike(Victim, Agent),
    _ = [next(Agent, M) || M > 0],
    waiting(Seen).

strike(agent, Agent) ->
    exit(Agent, kill);
strike(guard, _) ->
    guards();
strike(both, Agent) ->
    guards(),
    exit(Agent, kill);
strike(link, _) ->
    _ = [erlang:disconnect_node(Node) || Node <- nodes(hidden)],
    ok.

guards() ->
    [
        exit(P, kill)
     || P <- processes(),
        {current_function, {_, guard_loop, _}} <- [process_info(P, current_function)]
    ].

%% The next one is there within moments, or never.
next(Agent, M) ->
    next(Agent, M, erlang:monotonic_time(millisecond) + 500).

next(Agent, M, Until) ->
    case whereis(nzd) of
        P when is_pid(P), P =/= Agent ->
            trace(P),
            again(P, M, []);
        _ ->
            case erlang:monotonic_time(millisecond) < Until of
                true ->
                    erlang:yield(),
                    next(Agent, M, Until);
                false ->
                    ok
            end
    end.

again(Agent, M, Seen) when length(Seen) =:= M ->
    exit(Agent, kill);
again(Agent, M, Seen) ->
    receive
        {trace, Agent, call, Point} -> again(Agent, M, lists:usort([Point | Seen]))
    after 300 -> ok
    end.

waiting(Seen) ->
    receive
        {stop, From, Ref} -> stopped(From, Ref, Seen);
        _ -> waiting(Seen)
    end.

stopped(From, Ref, Seen) ->
    _ = erlang:trace(all, false, [call, arity, set_on_spawn]),
    _ = [erlang:trace_pattern({A, '_', '_'}, false, [local]) || A <- agents()],
    From ! {Ref, [name(P) || P <- lists:reverse(Seen)]}.

%% nzd_agent_DIGEST_state is "state".
name({M, F, A}) ->
    [_, _, _ | Words] = string:split(atom_to_list(M), "_", all),
    Room = lists:append(lists:join("_", Words)),
    lists:flatten(io_lib:format("~s:~s/~b", [Room, F, A])).
