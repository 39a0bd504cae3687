#!/usr/bin/env escript
%%! +sbwt none
%% SPDX-License-Identifier: Apache-2.0
%%
%% release.escript FIXTURES FOLDER COUNT...: what `make bench` reloads. FIXTURES
%% holds many-300-1 and many-300-2. In FOLDER:
%%
%%   base       the release many 1.0.0: kernel, stdlib, sasl and 300 modules
%%   to-COUNT   many 2.0.0, in which that many modules differ, with an appup
%%              and a relup for release_handler
%%
%% and in base/releases what release_handler needs to know both.
-mode(compile).

-define(MODULES, 300).

main([Fixtures, Folder | Counts]) ->
    [application:load(App) || App <- [kernel, stdlib, sasl]],
    Old = ebin(Fixtures, "1"),
    New = ebin(Fixtures, "2"),
    Base = filename:join(Folder, "base"),
    lay_out(Base, "1.0.0", [{Old, names(1, ?MODULES)}]),
    [
        to(Folder, Base, Old, New, list_to_integer(Count))
     || Count <- Counts
    ].

ebin(Fixtures, Version) ->
    filename:join([Fixtures, "many-300-" ++ Version, "lib", "many-" ++ Version ++ ".0.0", "ebin"]).

names(From, To) ->
    [list_to_atom(lists:flatten(io_lib:format("many_~3..0b", [I]))) || I <- lists:seq(From, To)].

to(Folder, Base, Old, New, Count) ->
    To = filename:join(Folder, "to-" ++ integer_to_list(Count)),
    Changed = names(1, Count),
    lay_out(To, "2.0.0", [{New, Changed}, {Old, names(Count + 1, ?MODULES)}]),
    Load = [{load_module, M} || M <- Changed],
    write(filename:join(ebin_of(To, "2.0.0"), "many.appup"),
        {"2.0.0", [{"1.0.0", Load}], [{"1.0.0", Load}]}),
    {ok, _, _, _} = systools:make_relup(release(To, "2.0.0"), [release(Base, "1.0.0")],
        [release(Base, "1.0.0")], [
            silent,
            {path, [ebin_of(To, "2.0.0"), ebin_of(Base, "1.0.0")]},
            {outdir, filename:dirname(release(To, "2.0.0"))}
        ]).

ebin_of(Folder, Vsn) ->
    filename:join([Folder, "lib", "many-" ++ Vsn, "ebin"]).

release(Folder, Vsn) ->
    filename:join([Folder, "releases", Vsn, "many"]).

lay_out(Folder, Vsn, Parts) ->
    Ebin = ebin_of(Folder, Vsn),
    Release = release(Folder, Vsn),
    ok = filelib:ensure_dir(filename:join(Ebin, "x")),
    ok = filelib:ensure_dir(Release),
    [
        {ok, _} = file:copy(beam(From, M), beam(Ebin, M))
     || {From, Modules} <- Parts,
        M <- Modules
    ],
    write(filename:join(Ebin, "many.app"),
        {application, many, [
            {description, "Many modules"},
            {vsn, Vsn},
            {modules, names(1, ?MODULES)},
            {registered, []},
            {applications, [kernel, stdlib]}
        ]}),
    write(filename:join(filename:dirname(Release), "sys.config"), []),
    boot(Folder, Release, Ebin, Vsn).

beam(Ebin, M) ->
    filename:join(Ebin, atom_to_list(M) ++ ".beam").

boot(Folder, Release, Ebin, Vsn) ->
    Erts = erlang:system_info(version),
    Applications = [{App, element(2, application:get_key(App, vsn))} || App <- [kernel, stdlib, sasl]],
    write(Release ++ ".rel",
        {release, {"many", Vsn}, {erts, Erts}, Applications ++ [{many, Vsn}]}),
    {ok, systools_make, _} = systools:make_script(Release, [
        silent,
        {path, [Ebin]},
        {variables, [{"REL", filename:absname(Folder)}]}
    ]),
    Folded = filename:dirname(Release),
    ok = file:rename(Release ++ ".boot", filename:join(Folded, "start.boot")),
    ok = file:rename(Release ++ ".script", filename:join(Folded, "start.script")),
    ok = file:write_file(filename:join([Folder, "releases", "start_erl.data"]),
        [Erts, " ", Vsn, "\n"]).

write(File, Term) ->
    ok = file:write_file(File, io_lib:format("~p.~n", [Term])).
