%% SPDX-License-Identifier: Apache-2.0
%% What hooks of tests call in a node, and a supervised process that does not
%% survive a reload.
-module(nzd_test_hook).

-export([chatter/1, kill_self/0, kill_agent/0, kill_agent_and_guard/0]).
-export([busy/2, mark/2, hang/1, start_worker/1, start_link/1, wait_gone/1]).

%% Text, much of it, with what could take over a terminal in each line.
-spec chatter(pos_integer()) -> ok.
chatter(Lines) ->
    Line = "said \e[31mred\e]0;title\a \x{9b}2J \x{202e}txet \r \0 \x7f",
    _ = [io:format("~b ~ts~n", [N, Line]) || N <- lists:seq(1, Lines)],
    ok.

-spec kill_self() -> no_return().
kill_self() ->
    exit(self(), kill),
    timer:sleep(infinity).

-spec kill_agent() -> no_return().
kill_agent() ->
    exit(whereis(nzd), kill),
    timer:sleep(infinity).

%% The guard first: it would start the agent again.
-spec kill_agent_and_guard() -> no_return().
kill_agent_and_guard() ->
    [Guard] = [
        P
     || P <- processes(),
        {current_function, {_, guard_loop, _}} <- [process_info(P, current_function)]
    ],
    exit(Guard, kill),
    kill_agent().

%% Whoever bears this name does nothing for so many milliseconds.
-spec busy(atom(), pos_integer()) -> ok.
busy(Name, Ms) ->
    Self = self(),
    spawn(fun() ->
        true = erlang:suspend_process(whereis(Name)),
        Self ! suspended,
        timer:sleep(Ms)
    end),
    receive
        suspended -> ok
    end.

-spec mark(string(), term()) -> ok.
mark(File, Term) ->
    ok = file:write_file(File, io_lib:format("~p~n", [Term]), [append]).

%% Never ends by itself; the file says that it has begun.
-spec hang(string()) -> no_return().
hang(File) ->
    ok = mark(File, began),
    timer:sleep(infinity).

%% A registered process under counter_sup that is not started again, and that
%% ends in `How` (crash, or stop_application) a while after it has seen another
%% version: later than a check right behind the switch.
-spec start_worker(crash | stop_application) -> {ok, pid()}.
start_worker(How) ->
    supervisor:start_child(counter_sup, #{
        id => nzd_test_worker,
        start => {?MODULE, start_link, [How]},
        restart => temporary
    }).

-spec start_link(crash | stop_application) -> {ok, pid()}.
start_link(How) ->
    Version = counter_text:version(),
    Pid = proc_lib:spawn_link(fun() -> watch(How, Version) end),
    true = register(nzd_test_worker, Pid),
    {ok, Pid}.

watch(How, Version) ->
    timer:sleep(1),
    case counter_text:version() of
        Version ->
            watch(How, Version);
        _Other when How =:= crash ->
            timer:sleep(300),
            exit(killed_by_a_reload);
        _Other ->
            timer:sleep(300),
            spawn(fun() -> application:stop(counter) end),
            timer:sleep(infinity)
    end.

-spec wait_gone(atom()) -> ok.
wait_gone(Name) ->
    case whereis(Name) of
        undefined ->
            ok;
        _Pid ->
            timer:sleep(5),
            wait_gone(Name)
    end.
