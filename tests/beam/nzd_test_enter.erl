%% SPDX-License-Identifier: Apache-2.0
%% Processes that become a behaviour's by enter_loop, of a module that their own
%% does not name, and hibernate or not.
-module(nzd_test_enter).

-export([start/2, start_all/0, agent/0]).
-export([init/2, init_agent/0]).

start(Kind, Sleeps) ->
    proc_lib:start(?MODULE, init, [Kind, Sleeps]).

init(Kind, Sleeps) ->
    proc_lib:init_ack({ok, self()}),
    enter(Kind, Sleeps).

enter(moves_srv, true) -> gen_server:enter_loop(moves_srv, [], {7}, hibernate);
enter(moves_srv, false) -> gen_server:enter_loop(moves_srv, [], {7});
enter(moves_machine, true) -> gen_statem:enter_loop(moves_machine, [], shut, 7, [hibernate]);
enter(moves_machine, false) -> gen_statem:enter_loop(moves_machine, [], shut, 7).

%% An Agent that hibernates, whose fun is of a module that is a gen_server, too:
%% so 'Elixir.Agent' writes its '$initial_call'.
agent() ->
    proc_lib:start(?MODULE, init_agent, []).

init_agent() ->
    put('$initial_call', {moves_srv, '-start_agent/0-fun-0-', 0}),
    proc_lib:init_ack({ok, self()}),
    gen_server:enter_loop('Elixir.Agent.Server', [], {mine}, hibernate).

%% One of each way, registered.
start_all() ->
    Spec = fun(Name, Kind) ->
        #{id => Name, start => {?MODULE, start, [Kind, true]}, modules => [Kind], restart => temporary}
    end,
    Started = [
        {entered_srv, start(moves_srv, false)},
        {entered_machine, start(moves_machine, false)},
        {sleeping_srv, gen_server:start(moves_srv, 7, [{hibernate_after, 1}])},
        {sleeping_machine, gen_statem:start(moves_machine, [], [{hibernate_after, 1}])},
        {child_srv, supervisor:start_child(moves_sup, Spec(child_srv, moves_srv))},
        {child_machine, supervisor:start_child(moves_sup, Spec(child_machine, moves_machine))}
    ],
    [register(Name, P) || {Name, {ok, P}} <- Started],
    [Name || {Name, _} <- Started].
