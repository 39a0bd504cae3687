%% SPDX-License-Identifier: Apache-2.0
%% Clients of fixture moves that never stop asking: which side of a change of
%% code its processes are on, state by state, and whether one of them has lost
%% a message, a count or its life.
-module(nzd_test_clients).

-export([start/0, tells/0]).
-export([client/2]).

%% Milliseconds between two questions of a client, and for it to come back.
-define(PAUSE, 2).
-define(BACK, 10000).

-define(SERVERS, [moves_srv, moves_machine, moves_events, moves_loop, moves_sup, moves_pool]).

%% Of processes that have been asked nothing yet.
-spec start() -> ok.
start() ->
    Pool = pool(),
    Clients = [
        {Kind, spawn(?MODULE, client, [Kind, Of])}
     || {Kind, Of} <- [
            {srv, [moves_srv]},
            {machine, [moves_machine]},
            {event, [moves_events]},
            {loop, [moves_loop]},
            {pool, Pool}
        ]
    ],
    Alive = [{N, whereis(N)} || N <- ?SERVERS] ++ [{pool, P} || P <- Pool],
    persistent_term:put(?MODULE, {Clients, Alive}).

pool() ->
    lists:sort([P || {_, P, _, _} <- supervisor:which_children(moves_pool)]).

%%% --- a client ---------------------------------------------------------

%% Of each process the count that it was told last.
-spec client(atom(), [pid() | atom()]) -> no_return().
client(Kind, Of) ->
    loop(Kind, [{P, value(Kind, P)} || P <- Of]).

loop(Kind, [{P, N} | Rest]) ->
    receive
        {pause, From} ->
            From ! {paused, self(), [{P, N} | Rest]},
            receive
                go -> loop(Kind, [{P, N} | Rest])
            end
    after ?PAUSE ->
        case catch ask(Kind, P) of
            {V, More} when V =:= 1 orelse V =:= 2, More =:= N + 1 ->
                loop(Kind, Rest ++ [{P, More}]);
            Other ->
                failed([{P, {asked_behind, N, got, Other}} | Rest])
        end
    end.

failed(What) ->
    receive
        {pause, From} ->
            From ! {paused, self(), What},
            failed(What)
    end.

%% {Version, Count}; nobody is too slow.
ask(machine, P) ->
    {V, _, N} = gen_statem:call(P, push),
    {V, N};
ask(event, P) ->
    gen_event:notify(P, tick),
    gen_event:call(P, {moves_event, a}, count, infinity);
ask(loop, P) ->
    Ref = monitor(process, P),
    P ! {count, self(), Ref},
    receive
        {Ref, Answer} ->
            demonitor(Ref, [flush]),
            Answer;
        {'DOWN', Ref, process, _, Why} ->
            exit(Why)
    end;
ask(_, P) ->
    gen_server:call(P, count, infinity).

value(pool, P) -> element(2, gen_server:call(P, value));
value(_, _) -> 0.

%%% --- what there is ----------------------------------------------------

%% old, new, or all that is neither.
-spec tells() -> old | new | {term(), term()}.
tells() ->
    {Clients, Alive} = persistent_term:get(?MODULE),
    _ = [C ! {pause, self()} || {_, C} <- Clients],
    Until = erlang:monotonic_time(millisecond) + ?BACK,
    Told = lists:append([paused(Kind, C, Until) || {Kind, C} <- Clients]),
    Dead = [D || {Name, P} = D <- Alive, not is_there(Name, P)],
    Tells =
        case {[T || {_, _, What} = T <- Told, not is_integer(What)], Dead} of
            {[], []} -> compared(Told);
            Bad -> Bad
        end,
    _ = [C ! go || {_, C} <- Clients],
    Tells.

paused(Kind, C, Until) ->
    receive
        {paused, C, Told} -> [{Kind, P, N} || {P, N} <- Told]
    after max(0, Until - erlang:monotonic_time(millisecond)) ->
        [{Kind, C, {hangs, process_info(C, current_stacktrace)}}]
    end.

is_there(pool, P) -> is_process_alive(P);
is_there(Name, P) -> whereis(Name) =:= P.

compared(Told) ->
    Sides =
        [{P, side(Kind, P, N)} || {Kind, P, N} <- Told] ++
            [{children, children()}, {intensity, intensity()}, {kept, kept()}] ++
            [{M, version(M)} || M <- [moves_srv, moves_machine, moves_event, moves_loop, moves_sup]],
    case lists:usort([S || {_, S} <- Sides, S =/= both]) of
        [Side] when is_atom(Side) -> Side;
        _ -> {mixed, [S || {_, Side} = S <- Sides, Side =/= both]}
    end.

%% Of the very state, beside the count that the client knows.
side(Kind, P, N) ->
    case {Kind, sys:get_state(P)} of
        {machine, {State, N}} when is_atom(State) -> old;
        {machine, {{door, _}, [N]}} -> new;
        {event, [{moves_event, a, N}, {moves_event, b, N}]} -> old;
        {event, [{moves_event, b, N}, {moves_event, a, N}]} -> old;
        {event, [{moves_event, _, {seen, N}}, {moves_event, _, {seen, N}}]} -> new;
        {loop, N} -> old;
        {loop, {loops, N}} -> new;
        {_, {N}} -> old;
        {_, #{n := N}} -> new;
        {_, State} -> {State, asked, N}
    end.

children() ->
    Ids = [{I, is_pid(P)} || {I, P, _, _} <- supervisor:which_children(moves_sup)],
    case {lists:keyfind(first, 1, Ids), lists:keyfind(second, 1, Ids), length(Ids)} of
        {{first, true}, false, 6} -> old;
        {false, {second, true}, 6} -> new;
        _ -> {Ids}
    end.

%% Field 6 of a supervisor's state, from OTP 24 to 28.
intensity() ->
    case element(6, sys:get_state(moves_sup)) of
        1 -> old;
        2 -> new;
        Other -> {Other}
    end.

version(M) ->
    case lists:keyfind(vsn, 1, M:module_info(attributes)) of
        {vsn, [1]} -> old;
        {vsn, [2]} -> new;
        Other -> {Other}
    end.

%% What a suspension leaves behind is gone.
kept() ->
    case
        [
            {P, K}
         || P <- processes(),
            {dictionary, D} <- [process_info(P, dictionary)],
            {{'$nzd_kept', _} = K, _} <- D
        ]
    of
        [] -> both;
        Kept -> {Kept}
    end.
