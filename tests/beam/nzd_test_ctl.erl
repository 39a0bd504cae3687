%% SPDX-License-Identifier: Apache-2.0
%% Lets a test evaluate expressions in a node. Listens on a Unix socket; a
%% request is an expression's text, an answer "o" or "e" and a term's text,
%% each after its length in four bytes. Survives init:restart/0, because the
%% node's own -eval starts it.
-module(nzd_test_ctl).

-export([start/1, load/1]).

-spec start(string()) -> ok.
start(Path) ->
    _ = file:delete(Path),
    Self = self(),
    {Pid, Ref} = spawn_monitor(fun() -> listen(Self, Path) end),
    receive
        {listening, Pid} ->
            demonitor(Ref, [flush]),
            ok;
        {'DOWN', Ref, process, Pid, Reason} ->
            error(Reason)
    end.

%% Loads a module that the node's boot script does not know.
-spec load(string()) -> {module, module()}.
load(File) ->
    {module, _} = code:load_abs(File).

listen(Parent, Path) ->
    true = register(?MODULE, self()),
    {ok, Listener} = gen_tcp:listen(0, [
        {ifaddr, {local, Path}}, {packet, 4}, {active, false}, binary
    ]),
    Parent ! {listening, self()},
    accept(Listener).

accept(Listener) ->
    {ok, Socket} = gen_tcp:accept(Listener),
    Pid = spawn(fun() -> receive go -> serve(Socket) end end),
    ok = gen_tcp:controlling_process(Socket, Pid),
    Pid ! go,
    accept(Listener).

serve(Socket) ->
    case gen_tcp:recv(Socket, 0) of
        {ok, Text} ->
            ok = gen_tcp:send(Socket, answer(unicode:characters_to_list(Text))),
            serve(Socket);
        {error, _Closed} ->
            ok
    end.

%% In a process of its own, so that its end is an answer too.
answer(Text) ->
    {_Pid, Ref} = spawn_monitor(fun() -> exit(evaluate(Text)) end),
    receive
        {'DOWN', Ref, process, _, {value, Value}} -> reply($o, Value);
        {'DOWN', Ref, process, _, {raised, Reason}} -> reply($e, Reason);
        {'DOWN', Ref, process, _, Reason} -> reply($e, {exit, Reason})
    end.

evaluate(Text) ->
    try
        {ok, Tokens, _} = erl_scan:string(Text ++ "."),
        {ok, Expressions} = erl_parse:parse_exprs(Tokens),
        {value, Value, _} = erl_eval:exprs(Expressions, []),
        {value, Value}
    catch
        Class:Reason:Stack -> {raised, {Class, Reason, Stack}}
    end.

%% {nzd_text, Text} is sent as it is.
reply(Kind, {nzd_text, Text}) ->
    [Kind, unicode:characters_to_binary(Text)];
reply(Kind, Term) ->
    [Kind, unicode:characters_to_binary(io_lib:format("~0tp", [Term]))].
