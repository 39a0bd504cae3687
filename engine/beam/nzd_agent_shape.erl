%% SPDX-License-Identifier: Apache-2.0
%%
%% The agent: what a term looks like, for people who may not see what it holds.
-module(nzd_agent_shape).

-export([shape/1]).

%% How deep, how many of a tuple's or map's members, how many bytes.
-define(DEPTH, 4).
-define(MEMBERS, 12).
-define(SHAPE, 400).

%% Types, keys and sizes, bounded; of what it holds nothing but the atoms that
%% stand where names do.
-spec shape(term()) -> binary().
shape(Atom) when is_atom(Atom) ->
    nzd_agent_text:text(io_lib:format("~tw", [Atom]));
shape(Term) ->
    Text = nzd_agent_text:text(shape(Term, ?DEPTH)),
    case byte_size(Text) of
        Size when Size =< ?SHAPE -> Text;
        _ -> <<(string:slice(Text, 0, ?SHAPE - 10))/binary, "...">>
    end.

shape(T, _) when is_boolean(T); T =:= undefined; T =:= nil; T =:= ok -> atom_to_list(T);
shape(T, _) when is_atom(T) -> "atom";
shape(T, _) when is_integer(T) -> "integer";
shape(T, _) when is_float(T) -> "float";
shape(T, _) when is_binary(T) -> io_lib:format("binary(~b)", [byte_size(T)]);
shape(T, _) when is_bitstring(T) -> io_lib:format("bits(~b)", [bit_size(T)]);
shape(T, _) when is_pid(T) -> "pid";
shape(T, _) when is_port(T) -> "port";
shape(T, _) when is_reference(T) -> "reference";
shape(T, _) when is_function(T) -> "fun";
shape([], _) -> "[]";
shape(T, Depth) when is_list(T) -> list_shape(T, Depth);
shape(T, 0) when is_tuple(T) -> io_lib:format("tuple(~b)", [tuple_size(T)]);
shape(T, Depth) when is_tuple(T) -> tuple_shape(tuple_to_list(T), Depth - 1);
shape(T, 0) when is_map(T) -> io_lib:format("map(~b)", [map_size(T)]);
shape(T, Depth) when is_map(T) -> map_shape(T, Depth - 1).

list_shape([First | _] = List, Depth) ->
    Size =
        try
            integer_to_list(length(List))
        catch
            error:badarg -> "improper"
        end,
    Of =
        case Depth of
            0 -> "";
            _ -> [" of ", shape(First, Depth - 1)]
        end,
    ["list(", Size, ")", Of].

tuple_shape([Tag | Rest], Depth) when is_atom(Tag) ->
    braces("{", [io_lib:format("~tw", [Tag]) | shapes(Rest, Depth)], length(Rest) + 1);
tuple_shape(Members, Depth) ->
    braces("{", shapes(Members, Depth), length(Members)).

shapes(Members, Depth) ->
    [shape(M, Depth) || M <- lists:sublist(Members, ?MEMBERS)].

map_shape(Map, Depth) ->
    Pairs = lists:sublist(lists:sort(maps:to_list(Map)), ?MEMBERS),
    braces("#{", [[key(K), " => ", member(K, V, Depth)] || {K, V} <- Pairs], map_size(Map)).

key(K) when is_atom(K) -> io_lib:format("~tw", [K]);
key(K) -> shape(K, 0).

%% Whose struct it is.
member('__struct__', V, _) when is_atom(V) -> io_lib:format("~tw", [V]);
member(_, V, Depth) -> shape(V, Depth).

braces(Open, Members, Count) ->
    More =
        case Count > length(Members) of
            true -> [", ..."];
            false -> []
        end,
    [Open, lists:join(", ", Members), More, "}"].
