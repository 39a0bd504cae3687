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
%% a call.
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

stop(Format, Arguments) ->
    io:format(standard_error, Format ++ "~n", Arguments),
    halt(1).
