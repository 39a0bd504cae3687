%% SPDX-License-Identifier: Apache-2.0
%% What the VM itself says about terms and BEAM files, written to files for
%% the tests of the readers. A file of blocks is a sequence of binaries, each
%% after its length in four bytes.
-module(nzd_test_facts).

-export([terms/1, same/1, identities/1, texts/1, beams/1]).
-export([made/1, to_rename/1, renamed/1]).

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
        funs => maps:from_keys(funs(Beam), true),
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

%% Dir/*.erl, in the order of their names.
made(Dir) ->
    write(Dir, "beams", compiled(Dir)).

compiled(Dir) ->
    [
        Beam
     || File <- lists:sort(filelib:wildcard(path(Dir, "*.erl"))),
        {ok, _, Beam} <- [compile:file(filename:rootname(File), [binary, debug_info])]
    ].

%% The same; then as OTP 28 writes them, gzipped; then all of stdlib, kernel, Elixir.
to_rename(Dir) ->
    Made = compiled(Dir),
    Files = [
        F
     || Lib <- [code:lib_dir(stdlib), code:lib_dir(kernel), path(elixir(), "elixir")],
        F <- lists:sort(filelib:wildcard(path(Lib, "ebin/*.beam")))
    ],
    Others = [element(2, {ok, _} = file:read_file(F)) || F <- Files],
    write(Dir, "beams", Made ++ [zlib:gzip(newer(B)) || B <- Made] ++ Others).

newer(Beam) ->
    with_chunks(Beam, fun
        ({"AtU8", <<N:32, Atoms/binary>>}) ->
            Long = << <<(length28(L))/binary, A/binary>> || <<L, A:L/binary>> <= Atoms >>,
            {"AtU8", <<(-N):32, Long/binary>>};
        ({"LitT", <<_:32, Deflated/binary>>}) ->
            {"LitT", <<0:32, (zlib:uncompress(Deflated))/binary>>};
        (Chunk) ->
            Chunk
    end).

length28(L) when L < 16 -> <<L:4, 0:4>>;
length28(L) -> <<(L bsr 8):3, 1:2, 0:3, L:8>>.

with_chunks(Beam, Change) ->
    {ok, _, Chunks} = beam_lib:all_chunks(Beam),
    {ok, Changed} = beam_lib:build_module([Change(C) || C <- Chunks]),
    Changed.

%% By hand: beam_lib does not know what OTP 28 writes.
chunk(<<"FOR1", _:32, "BEAM", Chunks/binary>>, Name) ->
    chunk_of(Chunks, list_to_binary(Name)).

chunk_of(<<Name:4/binary, Size:32, Chunk:Size/binary, _/binary>>, Name) ->
    Chunk;
chunk_of(<<_:4/binary, Size:32, Rest/binary>>, Name) ->
    Skip = (Size + 3) band (bnot 3),
    <<_:Skip/binary, Others/binary>> = Rest,
    chunk_of(Others, Name).

%% What became of them behind "x.": two modules of ours, both again, all others.
renamed(Dir) ->
    {ok, Bytes} = file:read_file(path(Dir, "renamed")),
    [A, B, A28, B28 | Others] = [Block || <<Size:32, Block:Size/binary>> <= Bytes],
    _ = [
        {true, Name} = {chunk(Old, Name) =:= chunk(New, Name), Name}
     || {Old, New} <- [{A, A28}, {B, B28}],
        Name <- ["Code", "ImpT", "ExpT", "LocT", "Attr"]
    ],
    true = chunk(newer(A), "AtU8") =:= chunk(A28, "AtU8"),
    true = chunk(newer(B), "LitT") =:= chunk(B28, "LitT"),
    false = chunk(B, "LitT") =:= chunk(B28, "LitT"),
    {module, 'x.ren_a'} = code:load_binary('x.ren_a', "", A),
    {module, 'x.ren_b'} = code:load_binary('x.ren_b', "", B),
    behave('x.ren_a'),
    false = code:is_loaded(ren_a) orelse code:is_loaded(ren_b),
    _ = [loads(Beam) || Beam <- Others],
    io:format("~w", [length(Others)]).

behave(A) ->
    {ok, ren_a, ren_b, ren_a} = A:data(#{'__struct__' => ren_a, b => ren_b}),
    {1, 2, 3} = {A:which(ren_a), A:which(ren_b), A:which('x.ren_a')},
    7 = A:field({ren_a, 7}),
    {b, ren_b, ren_a} = A:calls(),
    mine = A:far(),
    6 = A:ren_a(),
    {'x.', apply, [lists, f], []} = leads(fun() -> A:dyn(lists) end),
    {'x.', apply, [1, lists, f], []} = leads(fun() -> A:dyn(lists, 1) end),
    {'x.', apply, [lists, f, [1, 2]], []} = leads(fun() -> A:app(lists, [1, 2]) end),
    Fun = A:lambda(1),
    3 = Fun(2),
    {module, A} = erlang:fun_info(Fun, module),
    {module, ren_b} = erlang:fun_info(A:named(), module),
    A = A:module_info(module),
    [7] = proplists:get_value(vsn, A:module_info(attributes)),
    ['x.ren_a', 'x.ren_b'] = lists:sort([M || {M, _, _, _} <- A:stack()]).

leads(Call) ->
    try
        {returned, Call()}
    catch
        error:undef:Stack -> setelement(4, hd(Stack), [])
    end.

loads(Beam) ->
    <<_:32, Size, Name:Size/binary, _/binary>> = chunk(Beam, "AtU8"),
    <<"x.", _/binary>> = Name,
    Prepared = erlang:prepare_loading(binary_to_atom(Name), Beam),
    true = is_reference(Prepared).

path(Dir, Name) ->
    filename:join(Dir, Name).

write(Dir, Name, Blocks) ->
    ok = file:write_file(path(Dir, Name), [[<<(byte_size(B)):32>>, B] || B <- Blocks]).

%% Each `fun M:F/A` among the literals.
funs(Beam) ->
    case beam_lib:chunks(Beam, ["LitT"], [allow_missing_chunks]) of
        {ok, {_, [{_, <<_:32, Deflated/binary>>}]}} ->
            <<_:32, Entries/binary>> = zlib:uncompress(Deflated),
            Terms = [binary_to_term(T) || <<Size:32, T:Size/binary>> <= Entries],
            external(Terms);
        _ ->
            []
    end.

external(Fun) when is_function(Fun) ->
    {module, M} = erlang:fun_info(Fun, module),
    {name, F} = erlang:fun_info(Fun, name),
    {arity, A} = erlang:fun_info(Fun, arity),
    [{M, F, A}];
external([Head | Tail]) -> external(Head) ++ external(Tail);
external(Tuple) when is_tuple(Tuple) -> external(tuple_to_list(Tuple));
external(Map) when is_map(Map) -> external(maps:to_list(Map));
external(_) -> [].
