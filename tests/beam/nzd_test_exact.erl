%% SPDX-License-Identifier: Apache-2.0
%% Whether a node runs exactly what a release's files hold: md5 and attributes
%% of every module of its own applications, and none of another version's.
-module(nzd_test_exact).

-export([differs/2]).

%% [] where it does; else what differs. Others: releases whose modules must not
%% be loaded unless Release has them too.
-spec differs(string(), [string()]) -> [tuple()].
differs(Release, Others) ->
    Wanted = wanted(Release),
    Foreign = lists:usort(lists:append([maps:keys(wanted(O)) || O <- Others])),
    [{few, Release} || map_size(Wanted) < 6] ++
        [
            {M, Found, Is}
         || {M, Is} <- maps:to_list(Wanted), Found <- [runs(M)], Found =/= Is
        ] ++
        [
            {M, loaded}
         || M <- Foreign, not is_map_key(M, Wanted), erlang:module_loaded(M)
        ].

%% Read once for each release.
wanted(Release) ->
    case persistent_term:get({?MODULE, Release}, none) of
        none ->
            Files = filelib:wildcard(Release ++ "/lib/counter-*/ebin/*.beam"),
            Wanted = maps:from_list([of_file(F) || F <- Files]),
            persistent_term:put({?MODULE, Release}, Wanted),
            Wanted;
        Wanted ->
            Wanted
    end.

of_file(File) ->
    {ok, {M, Md5}} = beam_lib:md5(File),
    {ok, {M, [{"Attr", Attributes}]}} = beam_lib:chunks(File, ["Attr"]),
    {M, {Md5, lists:sort(binary_to_term(Attributes))}}.

%% An interactive node loads it now, from where a call would.
runs(M) ->
    _ = code:get_mode() =:= interactive andalso code:ensure_loaded(M),
    case erlang:module_loaded(M) of
        true -> {M:module_info(md5), lists:sort(M:module_info(attributes))};
        false -> not_loaded
    end.
