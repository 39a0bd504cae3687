#!/usr/bin/env escript
%% SPDX-License-Identifier: Apache-2.0
%%
%% compile.escript SOURCE...: compiles the agent's modules, each into the folder
%% of its source, so that OTP 24 loads them whatever compiler is at hand.
%%
%% The compiler's own option r24 is not enough: that of OTP 25 still makes the
%% instruction badrecord of each access to a record's field, and a VM that does
%% not know the highest instruction of a file does not load the file. It is made
%% of a call of erlang:error/1; one of erlang:error/2 raises the same and stays
%% a call. What the modules call of OTP is looked for, too.
-module(compile_agent).
-mode(compile).

%% The highest of OTP 24, recv_marker_use (its lib/compiler/src/genop.tab).
-define(HIGHEST, 176).

main(Sources) ->
    lists:foreach(fun compile/1, Sources).

compile(Source) ->
    {ok, Forms} = epp:parse_file(Source, [
        {includes, [filename:dirname(Source)]},
        {source_name, filename:basename(Source)}
    ]),
    made(compile:forms(Forms, [strong_validation, report, warnings_as_errors])),
    Plain = without_badrecord(erl_expand_records:module(Forms, [])),
    Beam = made(
        compile:forms(Plain, [binary, report_errors, deterministic, no_debug_info, r24])
    ),
    Highest = highest(Beam),
    Highest =< ?HIGHEST orelse
        stop("~ts: instruction ~p is not known to OTP 24", [Source, Highest]),
    [] =:= (Calls = strange(Beam)) orelse
        stop("~ts: OTP 24 or this one does not have ~0tp", [Source, Calls]),
    ok = file:write_file(filename:rootname(Source) ++ ".beam", Beam).

made({ok, _}) -> ok;
made({ok, _, Beam}) -> Beam;
made(_) -> halt(1).

without_badrecord({call, At, {remote, _, {atom, _, erlang}, {atom, _, error}} = Error, [
    {tuple, _, [{atom, _, badrecord}, _]} = Reason
]}) ->
    {call, At, Error, [Reason, {atom, At, none}]};
without_badrecord(Form) when is_tuple(Form) ->
    list_to_tuple(without_badrecord(tuple_to_list(Form)));
without_badrecord([Form | Forms]) ->
    [without_badrecord(Form) | without_badrecord(Forms)];
without_badrecord(Other) ->
    Other.

highest(Beam) ->
    {ok, {_, [{"Code", <<_:32, 0:32, Highest:32, _/binary>>}]}} = beam_lib:chunks(Beam, ["Code"]),
    Highest.

%% What of OTP a module calls and this OTP does not have, or only those behind 24.
strange(Beam) ->
    {ok, {_, [{imports, Imports}]}} = beam_lib:chunks(Beam, [imports]),
    [Call || {M, F, A} = Call <- Imports, is_of_otp(M), is_newer(Call) orelse not is_there(M, F, A)].

is_of_otp(Module) ->
    case atom_to_list(Module) of
        "nzd_agent" ++ _ -> false;
        "Elixir." ++ _ -> false;
        _ -> true
    end.

is_there(M, F, A) ->
    {module, M} =:= code:ensure_loaded(M) andalso
        (erlang:is_builtin(M, F, A) orelse erlang:function_exported(M, F, A)).

%% Documented as being there since OTP 25.
is_newer({peer, _, _}) -> true;
is_newer({erl_features, _, _}) -> true;
is_newer({erlang, nodes, 2}) -> true;
is_newer({filelib, ensure_path, 1}) -> true;
is_newer({global, disconnect, 0}) -> true;
is_newer({inet, F, 1}) -> lists:member(F, [is_ip_address, is_ipv4_address, is_ipv6_address]);
is_newer({lists, F, _}) -> lists:member(F, [enumerate, uniq]);
is_newer({maps, F, _}) -> F =:= groups_from_list;
is_newer({net_kernel, F, _}) -> F =:= get_state;
is_newer({pg, F, _}) -> lists:member(F, [monitor, monitor_scope, demonitor]);
is_newer({rand, F, _}) -> lists:member(F, [splitmix64_next, exsp_next, exsp_jump, mwc59]);
is_newer({uri_string, F, _}) -> lists:member(F, [quote, unquote]);
is_newer({M, F, A}) when M =:= erpc; M =:= gen_server; M =:= gen_statem; M =:= gen_event ->
    lists:prefix("reqids_", atom_to_list(F)) orelse
        (A =:= 3 andalso
            lists:member(F, [check_response, receive_response, wait_response])) orelse
        (F =:= send_request andalso A >= 4 andalso {M, A} =/= {erpc, 4});
is_newer(_) -> false.

stop(Format, Arguments) ->
    io:format(standard_error, Format ++ "~n", Arguments),
    halt(1).
