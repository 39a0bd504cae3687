%% SPDX-License-Identifier: Apache-2.0
%% Requests for the demo: Workers processes ask the release, one after the
%% other, until a file named stop appears in Dir; then counts is written.
-module(demo_load).

-export([start/2]).

-spec start(string(), pos_integer()) -> pid().
start(Dir, Workers) ->
    spawn(fun() -> run(Dir, Workers) end).

run(Dir, Workers) ->
    Counts = counters:new(2, []),
    Pids = [spawn_monitor(fun() -> work(Counts) end) || _ <- lists:seq(1, Workers)],
    ok = file:write_file(filename:join(Dir, "ready"), <<>>),
    wait(filename:join(Dir, "stop")),
    Alive = [P || {P, _} <- Pids, is_process_alive(P)],
    {_, Total} = counter_srv:call(),
    Text = io_lib:format("~b requests, ~b failed, ~b clients ended, counter at ~b~n", [
        counters:get(Counts, 1),
        counters:get(Counts, 2),
        Workers - length(Alive),
        Total
    ]),
    ok = file:write_file(filename:join(Dir, "counts"), Text).

wait(File) ->
    case filelib:is_file(File) of
        true ->
            ok;
        false ->
            timer:sleep(20),
            wait(File)
    end.

work(Counts) ->
    try
        {_, _, _} = counter_http:get(7),
        {_, _} = counter_srv:call(),
        counters:add(Counts, 1, 1)
    catch
        _:_ -> counters:add(Counts, 2, 1)
    end,
    timer:sleep(1),
    work(Counts).
