%% SPDX-License-Identifier: Apache-2.0
%% What the VM itself says about terms and BEAM files, written to files for
%% the tests of the readers. A file of blocks is a sequence of binaries, each
%% after its length in four bytes.
-module(nzd_test_facts).

-export([terms/1, same/1, identities/1, texts/1, beams/1]).

%% Dir/terms, source text: each term in each of four encodings to Dir/etf, one
%% line each to Dir/printed.
terms(Dir) ->
    {ok, Terms} = file:consult(path(Dir, "terms")),
    write(Dir, "etf", [
        term_to_binary(Term, Options)
     || Term <- Terms,
        Options <- [[], [compressed], [{minor_version, 0}], [{minor_version, 2}]]
    ]),
    Lines = [[io_lib:format("~0tp", [Term]), $\n] || Term <- Terms],
    ok = file:write_file(path(Dir, "printed"), unicode:characters_to_binary(Lines)).

%% Whether Dir/ours holds the terms of Dir/terms.
same(Dir) ->
    {ok, Terms} = file:consult(path(Dir, "terms")),
    {ok, Ours} = file:read_file(path(Dir, "ours")),
    Terms = [binary_to_term(Block) || <<Size:32, Block:Size/binary>> <= Ours],
    io:format("same").

identities(Dir) ->
    X = rand:uniform(9),
    write(Dir, "identities", [
        term_to_binary(Term)
     || Term <- [self(), make_ref(), hd(erlang:ports()), fun(Y) -> X + Y end]
    ]).

%% All .app, .rel and .appup files of Erlang and Elixir that are terms: the
%% file's bytes, then what file:consult/1 makes of them.
texts(Dir) ->
    Files = lists:append([
        filelib:wildcard(Pattern, Root)
     || {Root, Pattern} <- [
            {code:root_dir(), "lib/*/ebin/*.{app,appup}"},
            {code:root_dir(), "releases/*/*.rel"},
            {elixir(), "*/ebin/*.app"}
        ]
    ]),
    write(Dir, "texts", lists:append([consulted(File) || File <- Files])).

consulted(Name) ->
    [File | _] = [
        F
     || Root <- [code:root_dir(), elixir()],
        F <- [filename:join(Root, Name)],
        filelib:is_regular(F)
    ],
    {ok, Bytes} = file:read_file(File),
    {ok, Terms} = file:consult(File),
    [Bytes, term_to_binary(Terms)].

elixir() ->
    "/usr/lib/elixir/lib".

%% BEAM files as they are, stripped and gzipped: the bytes, then what beam_lib
%% and the loader say about them. The last three are of Dir/made.erl.
beams(Dir) ->
    Files = [code:which(Module) || Module <- [lists, gen_server, erl_eval, crypto]],
    Elixir = filelib:wildcard(elixir() ++ "/elixir/ebin/Elixir.{Enum,Kernel.LexicalTracker}.beam"),
    Bytes = [element(2, {ok, _} = file:read_file(File)) || File <- Files ++ Elixir],
    {ok, made, Made} = compile:file(path(Dir, "made"), [binary, debug_info]),
    write(Dir, "beams", lists:append([variants(Beam) || Beam <- Bytes ++ [Made]])).

variants(Bytes) ->
    Plain =
        case Bytes of
            <<"FOR1", _/binary>> -> Bytes;
            _ -> zlib:gunzip(Bytes)
        end,
    {ok, {_, Stripped}} = beam_lib:strip(Plain),
    [
        Block
     || Beam <- [Plain, zlib:gzip(Plain), Stripped],
        Block <- [Beam, term_to_binary(facts(Beam))]
    ].

facts(Beam) ->
    {ok, {Module, Md5}} = beam_lib:md5(Beam),
    Md5 = code:module_md5(Beam),
    {ok, {_, [{exports, Exports}, {imports, Imports}]}} =
        beam_lib:chunks(Beam, [exports, imports]),
    Prepared = erlang:prepare_loading(Module, Beam),
    #{
        module => Module,
        md5 => Md5,
        attributes => chunk_term(Beam, "Attr"),
        compiler => proplists:get_value(version, chunk_term(Beam, "CInf"), ""),
        exports => maps:from_keys(Exports, true),
        imports => maps:from_keys(Imports, true),
        lambdas => lambdas(Beam),
        on_load => erlang:has_prepared_code_on_load(Prepared),
        nif => lists:member({erlang, load_nif, 2}, Imports),
        code_change =>
            lists:member({code_change, 3}, Exports) orelse
                lists:member({code_change, 4}, Exports) orelse
                lists:member({system_code_change, 4}, Exports)
    }.

chunk_term(Beam, Name) ->
    case beam_lib:chunks(Beam, [Name], [allow_missing_chunks]) of
        {ok, {_, [{Name, missing_chunk}]}} -> [];
        {ok, {_, [{Name, Chunk}]}} -> binary_to_term(Chunk)
    end.

lambdas(Beam) ->
    {ok, {_, [{atoms, Atoms}]}} = beam_lib:chunks(Beam, [atoms]),
    case beam_lib:chunks(Beam, ["FunT"], [allow_missing_chunks]) of
        {ok, {_, [{_, missing_chunk}]}} ->
            [];
        {ok, {_, [{_, <<_:32, Table/binary>>}]}} ->
            [
                {proplists:get_value(Name, Atoms), Arity - Free, Index, Free, Uniq}
             || <<Name:32, Arity:32, _:32, Index:32, Free:32, Uniq:32>> <= Table
            ]
    end.

path(Dir, Name) ->
    filename:join(Dir, Name).

write(Dir, Name, Blocks) ->
    ok = file:write_file(path(Dir, Name), [[<<(byte_size(B)):32>>, B] || B <- Blocks]).
