%% SPDX-License-Identifier: Apache-2.0
%%
%% The agent: texts and terms for nzd, and what many of its modules ask of a
%% file or a loaded module.
-module(nzd_agent_text).

-export([attributes/1, info/2, left/1, native/1, now_ms/0, printed/1, read/1, since/1, text/1, vsn/1]).

-spec native(binary()) -> string().
native(Bytes) ->
    case unicode:characters_to_list(Bytes) of
        Text when is_list(Text) -> Text;
        _ -> binary_to_list(Bytes)
    end.

-spec attributes(binary()) -> [tuple()].
attributes(Bin) ->
    case beam_lib:chunks(Bin, ["Attr"], [allow_missing_chunks]) of
        {ok, {_, [{_, Chunk}]}} when is_binary(Chunk) -> binary_to_term(Chunk);
        _ -> []
    end.

%% What release_handler passes on as the version of a module.
-spec vsn([tuple()] | none) -> term().
vsn(none) ->
    undefined;
vsn(Attributes) ->
    case proplists:get_value(vsn, Attributes, []) of
        [Vsn] when not is_integer(Vsn); Vsn < $\s; Vsn > 255 -> Vsn;
        [] -> undefined;
        Text -> Text
    end.

%% What M:module_info(Key) asks. A call of a module that has just gone would
%% raise, or load it again from its file.
-spec info(module(), atom()) -> term().
info(M, Key) ->
    try
        erlang:get_module_info(M, Key)
    catch
        error:badarg -> none
    end.

-spec read(none | file:name_all()) -> none | binary().
read(none) ->
    none;
read(File) ->
    case file:read_file(File) of
        {ok, Bin} -> Bin;
        {error, _} -> none
    end.

-spec since(integer()) -> integer().
since(Begin) ->
    erlang:convert_time_unit(erlang:monotonic_time() - Begin, native, microsecond).

-spec text(term()) -> binary().
text(Chars) ->
    case unicode:characters_to_binary(Chars) of
        Bin when is_binary(Bin) -> Bin;
        _ -> iolist_to_binary(io_lib:format("~0p", [Chars]))
    end.

%% A term for people, bounded.
-spec printed(term()) -> binary().
printed(Text) when is_list(Text), Text =/= [] ->
    case io_lib:printable_unicode_list(Text) of
        true -> text(Text);
        false -> cut(text(io_lib:format("~0tP", [Text, 30])))
    end;
printed(Term) ->
    cut(text(io_lib:format("~0tP", [Term, 30]))).

cut(Text) when byte_size(Text) =< 400 -> Text;
cut(Text) -> <<(string:slice(Text, 0, 390))/binary, "...">>.

%% Milliseconds of the monotonic time, and those until then.
-spec now_ms() -> integer().
now_ms() ->
    erlang:monotonic_time(millisecond).

-spec left(integer()) -> non_neg_integer().
left(Deadline) ->
    max(0, Deadline - now_ms()).
