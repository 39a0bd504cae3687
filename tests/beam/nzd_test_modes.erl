%% SPDX-License-Identifier: Apache-2.0
%% A gen_statem whose callback mode is what a persistent term says, and whose
%% code_change takes the states of the other mode alone.
-module(nzd_test_modes).
-behaviour(gen_statem).

-export([put_back/0]).
-export([init/1, callback_mode/0, code_change/4, handle_event/4, open/3]).

%% It was taken to the lower version, mode and all, and the agent that did so has
%% ended: what it answers once another one has put it back.
-spec put_back() -> term().
put_back() ->
    {Pid, Ref} = spawn_monitor(fun() -> exit({said, put_back(nzd_test_agent:agent("state"))}) end),
    receive
        {'DOWN', Ref, process, Pid, {said, Said}} -> Said;
        {'DOWN', Ref, process, Pid, Reason} -> {failed, Reason}
    end.

put_back(State) ->
    runs(handle_event_function),
    {ok, P} = gen_statem:start(?MODULE, [], []),
    1 = gen_statem:call(P, push),
    {ok, _} = State:suspend(#{?MODULE => true}, 1000),
    runs(state_functions),
    ok = sys:change_code(P, ?MODULE, {down, 1}, []),
    runs(handle_event_function),
    {ok, Held} = State:suspend(#{?MODULE => true}, 1000),
    #{failed := Failed} = State:put_back(Held, fun(?MODULE) -> {1, extra} end),
    {Failed, gen_statem:call(P, push), [K || {{'$nzd_kept', _} = K, _} <- dictionary(P)]}.

dictionary(P) ->
    {dictionary, Dictionary} = process_info(P, dictionary),
    Dictionary.

runs(Mode) ->
    persistent_term:put(?MODULE, Mode).

init([]) -> {ok, {door, open}, [0]}.

callback_mode() -> persistent_term:get(?MODULE).

handle_event({call, From}, push, {door, open}, [N]) ->
    {keep_state, [N + 1], [{reply, From, N + 1}]}.

open({call, From}, push, N) ->
    {keep_state, N + 1, [{reply, From, {lower, N + 1}}]}.

code_change({down, 1}, {door, State}, [N], []) -> {ok, State, N};
code_change(1, State, N, extra) when is_atom(State) -> {ok, {door, State}, [N]}.
