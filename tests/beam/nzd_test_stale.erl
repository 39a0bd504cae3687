%% SPDX-License-Identifier: Apache-2.0
%% Records what nzd sends to the agent and to `rex`, term by term, and sends
%% it again: a message of a dead nzd that arrives late.
-module(nzd_test_stale).

-export([record/0, stop/0, tags/0, replay/0, push/1, state/0]).

-spec record() -> ok.
record() ->
    Pid = spawn(fun() -> collect([]) end),
    true = register(?MODULE, Pid),
    _ = erlang:trace(all, true, ['receive', {tracer, Pid}]),
    ok.

collect(Messages) ->
    receive
        {trace, _, 'receive', {nzd, From, _, _, _} = M} when node(From) =/= node() ->
            collect([{nzd, M} | Messages]);
        {trace, _, 'receive', {'$gen_call', {From, _}, {call, _, _, _, _}} = M} when
            node(From) =/= node()
        ->
            collect([{rex, M} | Messages]);
        {get, Pid} ->
            Pid ! {messages, lists:reverse(Messages)},
            collect(Messages);
        _ ->
            collect(Messages)
    end.

-spec stop() -> non_neg_integer().
stop() ->
    _ = erlang:trace(all, false, ['receive']),
    length(messages()).

messages() ->
    ?MODULE ! {get, self()},
    receive
        {messages, Messages} -> Messages
    end.

%% Which requests to the agent were recorded.
-spec tags() -> [atom()].
tags() ->
    lists:usort([tag(R) || {nzd, {nzd, _, _, _, R}} <- messages()]).

tag(Request) when is_atom(Request) -> Request;
tag(Request) -> element(1, Request).

%% All to the agent again, in their order; it has seen them when this returns.
-spec replay() -> non_neg_integer().
replay() ->
    Late = [M || {nzd, M} <- messages()],
    _ = [nzd ! M || M <- Late, is_pid(whereis(nzd))],
    _ = state(),
    length(Late).

%% The pushes of the agent's code again, so many times.
-spec push(pos_integer()) -> non_neg_integer().
push(Times) ->
    Loads = [
        M
     || {rex, {_, _, {call, code, _, _, _}} = M} <- messages(), _ <- lists:seq(1, Times)
    ],
    _ = [rex ! M || M <- Loads],
    _ = rpc:call(node(), erlang, node, []),
    length(Loads).

%% What must not change.
-spec state() -> none | tuple().
state() ->
    Agent = whereis(nzd),
    Ref = make_ref(),
    _ = [nzd ! {nzd, self(), Ref, late, hello} || is_pid(Agent)],
    receive
        {nzd, Ref, {hello, H}} ->
            Keys = [phase, txn, epoch, token, owner],
            {Agent, maps:to_list(maps:with(Keys, H)), code()}
    after 25000 -> none
    end.

code() ->
    [
        {M, M:module_info(md5)}
     || {M, _} <- code:all_loaded(), lists:prefix("counter", atom_to_list(M))
    ].
