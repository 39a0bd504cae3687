%% SPDX-License-Identifier: Apache-2.0
%%
%% The agent: the questions, which change nothing.
-module(nzd_agent_read).

-include("nzd_agent.hrl").

-export([question/4, running/0]).

%% Which generation this VM has booted; an overlay's boot script puts it.
-define(BOOTED, {nzd, booted}).

%% The clock that deadlines are told by; `none` where this host has no such.
host_clock() ->
    Boot = nzd_agent_text:read("/proc/sys/kernel/random/boot_id"),
    case {Boot, nzd_agent_text:read("/proc/uptime")} of
        {<<Id:36/binary, _/binary>>, <<Up/binary>>} ->
            [Seconds | _] = binary:split(Up, <<" ">>),
            {Id, round(binary_to_float(Seconds) * 1000)};
        _ ->
            none
    end.

-spec question(pid(), term(), term(), #state{}) -> term().
question(_From, _Ref, hello, State) ->
    {hello, hello(State)};
question(_From, _Ref, clock, State) ->
    {clock, host_clock(), nzd_agent_alone:left(State)};
question(_From, _Ref, inventory, #state{chores = {_, Gone, _}}) ->
    {inventory, apps(), [leaving(Row, Gone) || Row <- modules()]};
question(_From, _Ref, {on_disk, Names}, #state{chores = {_, Gone, _}}) ->
    Leaving = [atom_to_binary(M) || M <- Gone],
    {on_disk, lists:flatmap(fun on_disk/1, Names -- Leaving)};
question(From, Ref, {object, Names}, _State) ->
    Files = files_of_loaded(Names),
    _ = [nzd_agent:reply(From, Ref, object(N, Files)) || N <- Names],
    ok;
question(_From, _Ref, base_files, _State) ->
    {base_files, base_files()};
question(_From, _Ref, {held, Files}, _State) ->
    {held, [
        Row
     || {Name, Path} <- Files,
        Row <- file_entry(Name, unicode:characters_to_list(Path))
    ]};
question(_From, _Ref, {beams, Apps}, _State) ->
    {beams, lists:flatmap(fun beams/1, Apps)};
question(_From, _Ref, {priv, Apps}, _State) ->
    {priv, lists:flatmap(fun({App, Folder}) -> priv(App, Folder) end, Apps)};
question(_From, _Ref, {appups, Apps}, _State) ->
    {appups, [{App, Text} || App <- Apps, Text <- nzd_agent_paths:appup(App)]};
question(_From, _Ref, {callers, Targets, Except}, _State) ->
    {callers, callers(Targets, Except)};
question(_From, _Ref, {occupants, Modules, Lambdas, Changed}, State) ->
    Loaded = [M || M <- Modules, erlang:module_loaded(M)],
    Lingering = nzd_agent_who:in_old_code(Loaded),
    Old = [{P, M} || {P, _, M, _, _} <- Lingering],
    Special = nzd_agent_state:specials(maps:from_list(Changed)),
    Resident = [
        W
     || {P, _, M, _, _} = W <- nzd_agent_who:resident(Loaded, Special),
        not lists:member({P, M}, Old)
    ],
    {occupants, Lingering, Resident,
        nzd_agent_who:holders(nzd_agent_switch:past_holders(Loaded, State)),
        nzd_agent_who:holders(nzd_agent_who:closures(Lambdas))};
question(_From, _Ref, {users, Removed, Changed}, _State) ->
    {users, nzd_agent_who:users(Removed), nzd_agent_state:users(maps:from_list(Changed))};
question(_From, _Ref, {md5s, Modules}, _State) ->
    {md5s, [md5_of(M) || M <- Modules]};
question(_From, _Ref, {proof, Modules}, _State) ->
    {proof, files_of(Modules)}.

hello(State) ->
    {Total, _} = erlang:statistics(wall_clock),
    #{
        phase => State#state.phase,
        txn => State#state.txn,
        epoch => State#state.epoch,
        left_ms => nzd_agent_alone:left(State),
        begun => State#state.begun,
        node => node(),
        otp => nzd_agent_text:text(erlang:system_info(otp_release)),
        erts => nzd_agent_text:text(erlang:system_info(version)),
        arch => nzd_agent_text:text(erlang:system_info(system_architecture)),
        mode => code:get_mode(),
        pid => nzd_agent_text:text(os:getpid()),
        root => nzd_agent_text:text(code:root_dir()),
        uptime_ms => Total,
        processes => erlang:system_info(process_count),
        memory => erlang:memory(total),
        token => persistent_term:get(?TOKEN, none),
        owner => persistent_term:get(?OWNER, none),
        script => script_id(),
        overlay => nzd_agent_paths:is_overlay(nzd_agent_paths:boot_argument()),
        starting => element(1, init:get_status()) =:= starting,
        stopping => element(1, init:get_status()) =:= stopping,
        nzd_boot => env("NZD_BOOT"),
        booted => persistent_term:get(?BOOTED, 0),
        release_root => env("RELEASE_ROOT"),
        release_name => env("RELEASE_NAME"),
        release_version => env("RELEASE_VSN"),
        apps => running(),
        old_code => length([M || {M, _} <- code:all_loaded(), erlang:check_old_code(M)])
    }.

env(Name) ->
    case os:getenv(Name) of
        false -> <<>>;
        Value -> nzd_agent_text:text(Value)
    end.

script_id() ->
    case init:script_id() of
        {Name, Version} -> {nzd_agent_text:printed(Name), nzd_agent_text:printed(Version)};
        _ -> {<<>>, <<>>}
    end.

-spec running() -> [atom()].
running() ->
    [A || {A, _, _} <- application:which_applications()].

apps() ->
    Running = maps:from_keys(running(), true),
    [
        {A, nzd_agent_text:text(V), app_dir(A), maps:is_key(A, Running)}
     || {A, _, V} <- application:loaded_applications()
    ].

app_dir(App) ->
    case code:lib_dir(App) of
        {error, _} -> <<>>;
        Dir -> nzd_agent_text:text(Dir)
    end.

modules() ->
    Owner = maps:from_list([
        {M, A}
     || {A, _, _} <- application:loaded_applications(),
        {ok, Ms} <- [application:get_key(A, modules)],
        M <- Ms
    ]),
    Dirs = maps:from_list([
        {nzd_agent_paths:base_folder(filename:join(D, "ebin")), A}
     || {A, _, _} <- application:loaded_applications(),
        D <- [code:lib_dir(A)],
        is_list(D)
    ]),
    Loaded = [{M, P} || {M, P} <- code:all_loaded(), M =/= ?MODULE, not is_agent(M)],
    Folders = lists:foldl(fun note_folder/2, #{}, Loaded),
    [
        Row
     || {M, Path} <- Loaded,
        {Sticky, Base} <- [maps:get(nzd_agent_paths:folder(Path), Folders)],
        Row <- [module(M, nzd_agent_paths:in_folder(Base, Path), Sticky, Owner, Dirs)],
        element(3, Row) =/= none
    ].

%% Folders are sticky, so one module of each is asked for: an answer of the
%% code server comes late where the node is busy. One of an overlay is told
%% as that of the base.
note_folder({M, Path}, Folders) ->
    Folder = nzd_agent_paths:folder(Path),
    case Folders of
        #{Folder := _} -> Folders;
        _ -> Folders#{Folder => {code:is_sticky(M), nzd_agent_paths:base_folder(Folder)}}
    end.

is_agent(M) ->
    lists:prefix("nzd_agent_", atom_to_list(M)) orelse nzd_agent_rehearse:is_shadow(M).

module(M, Path, Sticky, Owner, Dirs) ->
    App =
        case Owner of
            #{M := A} -> A;
            _ when is_list(Path) -> maps:get(filename:dirname(Path), Dirs, '');
            _ -> ''
        end,
    Flags =
        1 bor
            flag(erlang:check_old_code(M), 2) bor
            flag(Sticky, 4) bor
            flag(Path =:= preloaded, 8),
    {M, App, nzd_agent_text:info(M, md5), term_to_binary(nzd_agent_text:info(M, attributes)),
        path_text(Path), Flags}.

%% Removed by a committed transaction, and still there.
leaving({M, App, Md5, Attributes, Path, Flags}, Gone) ->
    {M, App, Md5, Attributes, Path, Flags bor flag(lists:member(M, Gone), 128)}.

flag(true, Bit) -> Bit;
flag(false, _Bit) -> 0.

path_text(Path) when is_list(Path) -> nzd_agent_text:text(Path);
path_text(_Atom) -> <<>>.

%% Modules that are not loaded, as the code path would give them; those that
%% were loaded since the inventory was made, as they run.
on_disk(Name) ->
    try binary_to_existing_atom(Name) of
        M ->
            case erlang:module_loaded(M) of
                true -> [loaded_since(M, code:which(M))];
                false -> on_disk_file(Name, M)
            end
    catch
        error:badarg -> on_disk_file(Name, Name)
    end.

loaded_since(M, Found) when is_list(Found) ->
    Path = nzd_agent_paths:base_file(Found),
    module(M, Path, code:is_sticky(M), #{M => app_of(Path)}, #{});
loaded_since(M, Path) ->
    module(M, Path, code:is_sticky(M), #{}, #{}).

on_disk_file(Name, M) ->
    case code:where_is_file(binary_to_list(Name) ++ ".beam") of
        non_existing -> [];
        Path -> file_entry(M, Path)
    end.

file_entry(M, Found) ->
    Path = nzd_agent_paths:base_file(Found),
    case file:read_file(Found) of
        {ok, Bin} ->
            case code:module_md5(Bin) of
                undefined -> [];
                Md5 ->
                    Attributes = term_to_binary(nzd_agent_text:attributes(Bin)),
                    [{M, app_of(Path), Md5, Attributes, nzd_agent_text:text(Path), 0}]
            end;
        {error, _} ->
            []
    end.

%% Names of the modules that an application's folder holds.
beams(App) ->
    case code:lib_dir(binary_to_atom(App)) of
        {error, _} ->
            [];
        Dir ->
            Files = filelib:wildcard("*.beam", filename:join(Dir, "ebin")),
            [nzd_agent_text:text(filename:rootname(F)) || F <- Files]
    end.

%% What the base's file of each module holds; code:which/1 names it, or that of
%% an overlay, which is not in force only because the VM was started from it.
files_of(Modules) ->
    Folders = maps:from_keys(code:get_path(), true),
    lists:flatmap(
        fun(M) ->
            case code:which(M) of
                Path when is_list(Path), Path =/= [] ->
                    file_entry(M, base_file_of(M, nzd_agent_paths:base_file(Path), Folders));
                _ ->
                    []
            end
        end,
        Modules
    ).

%% One that somebody loaded from elsewhere is measured by the file that a boot
%% would take, where there is one.
base_file_of(M, Path, Folders) ->
    case is_map_key(filename:dirname(Path), Folders) of
        true ->
            Path;
        false ->
            case code:where_is_file(atom_to_list(M) ++ ".beam") of
                non_existing -> Path;
                Found -> nzd_agent_paths:base_file(Found)
            end
    end.

app_of(Path) ->
    Folder = filename:basename(filename:dirname(filename:dirname(Path))),
    case string:split(Folder, "-", trailing) of
        [App | _] -> nzd_agent_text:text(App);
        _ -> <<>>
    end.

%% The bytes on disk and the md5 in memory: nzd sees whether they are those that
%% run, which it takes less time for. The code server is not asked for each of
%% many.
object(Name, Files) ->
    try
        M = binary_to_existing_atom(Name),
        {ok, Path, Bin} = object_file(M, Files),
        case {nzd_agent_text:info(M, md5), nzd_agent_text:info(M, attributes)} of
            {none, none} ->
                {object, Name, nzd_agent_text:text(Path), Bin, none};
            {Md5, Attributes} ->
                case lists:sort(Attributes) =:= lists:sort(nzd_agent_text:attributes(Bin)) of
                    true -> {object, Name, nzd_agent_text:text(Path), Bin, Md5};
                    false -> {object, Name, differs}
                end
        end
    catch
        error:_ -> {object, Name, missing}
    end.

files_of_loaded([_]) -> #{};
files_of_loaded(_) -> maps:from_list(code:all_loaded()).

object_file(M, Files) ->
    Path =
        case which(M, Files) of
            [_ | _] = Which -> Which;
            _ -> code:where_is_file(atom_to_list(M) ++ ".beam")
        end,
    {ok, Bin} = prim_file:read_file(Path),
    {ok, Path, Bin}.

which(M, Files) ->
    case Files of
        #{M := Path} -> Path;
        _ -> code:which(M)
    end.

%% The files of the release the VM was started from, as they are on disk.
base_files() ->
    Boot = nzd_agent_paths:boot_file(),
    Root = release_root(Boot),
    {_, Version} = init:script_id(),
    Dir =
        case Boot of
            none -> none;
            _ -> filename:dirname(Boot)
        end,
    #{
        boot => nzd_agent_text:read(Boot),
        elf => emulator(),
        erts => base_erts(),
        boot_path => path_text(Boot),
        root => path_text(Root),
        version => nzd_agent_text:printed(Version),
        sys_config => nzd_agent_text:read(in(Dir, "sys.config")),
        vm_args => nzd_agent_text:read(in(Dir, "vm.args")),
        env_script => nzd_agent_text:read(in(Dir, "env.sh")),
        runtime_config => nzd_agent_text:read(in(Dir, "runtime.exs")),
        app_files => [
            {A, nzd_agent_text:read(F)}
         || {A, _, _} <- application:loaded_applications(),
            D <- [code:lib_dir(A)],
            is_list(D),
            F <- [filename:join(nzd_agent_paths:base_folder(filename:join(D, "ebin")), atom_to_list(A) ++ ".app")]
        ]
    }.

%% How the emulator's file begins: which machine it is for.
emulator() ->
    File = filename:join(os:getenv("BINDIR", ""), "beam.smp"),
    case file:open(File, [read, raw, binary]) of
        {ok, Fd} ->
            Read = file:read(Fd, 20),
            _ = file:close(Fd),
            case Read of
                {ok, Bytes} -> Bytes;
                _ -> <<>>
            end;
        {error, _} ->
            <<>>
    end.

%% nzd boot has put another emulator in the place of the base's: "13.1.5 BINDIR".
base_erts() ->
    case string:split(os:getenv("NZD_BASE_ERTS", ""), " ") of
        [Version, Folder] ->
            case os:getenv("BINDIR") of
                Folder -> nzd_agent_text:text(Version);
                _ -> <<>>
            end;
        _ ->
            <<>>
    end.

in(none, _Name) -> none;
in(Dir, Name) -> filename:join(Dir, Name).

release_root(none) -> none;
release_root(Boot) -> filename:dirname(filename:dirname(filename:dirname(Boot))).

%% The base's, also where the code path names an overlay.
priv(App, Else) ->
    Dir =
        case code:lib_dir(binary_to_atom(App)) of
            {error, _} -> nzd_agent_text:native(Else);
            Lib -> filename:dirname(nzd_agent_paths:base_folder(filename:join(Lib, "ebin")))
        end,
    [{App, F, S, D, L} || Dir =/= [], {F, S, D, L} <- files(Dir, "priv", false)].

%% Link: a symbolic one below priv leads there.
files(Root, Folder, Link) ->
    case file:list_dir(filename:join(Root, Folder)) of
        {ok, Names} ->
            lists:flatmap(
                fun(N) -> file_or_folder(Root, filename:join(Folder, N), Link) end,
                Names
            );
        {error, _} ->
            []
    end.

file_or_folder(Root, Path, Linked) ->
    Full = filename:join(Root, Path),
    Link = Linked orelse element(1, file:read_link(Full)) =:= ok,
    case file:read_file_info(Full) of
        {ok, Info} when element(3, Info) =:= directory ->
            files(Root, Path, Link);
        {ok, Info} when element(3, Info) =:= regular ->
            [{nzd_agent_text:text(Path), element(2, Info), file_md5(Full), Link}];
        _ ->
            []
    end.

file_md5(File) ->
    case file:open(File, [read, raw, binary]) of
        {ok, Fd} ->
            Md5 = file_md5(Fd, erlang:md5_init()),
            _ = file:close(Fd),
            Md5;
        {error, _} ->
            <<0:128>>
    end.

file_md5(Fd, Context) ->
    case file:read(Fd, 65536) of
        {ok, Data} -> file_md5(Fd, erlang:md5_update(Context, Data));
        _ -> erlang:md5_final(Context)
    end.

%% Loaded code that imports one of the functions, or has a fun of it among its
%% literals: {Caller, M, F, A}. A target {M, '', 0} is a whole module.
callers(Targets, Except) ->
    Skip = maps:from_keys(Except, true),
    Wanted = maps:from_keys(Targets, true),
    Names = binary:compile_pattern([atom_to_binary(M) || {M, _, _} <- Targets]),
    [
        {Caller, M, F, A}
     || {Caller, Path} <- code:all_loaded(),
        is_list(Path),
        not maps:is_key(Caller, Skip),
        not is_agent(Caller),
        {M, F, A} <- calls(Path, Names),
        maps:is_key({M, F, A}, Wanted) orelse maps:is_key({M, '', 0}, Wanted)
    ].

calls(Path, Names) ->
    case file:read_file(Path) of
        {ok, Bin} -> imports(Bin, Names) ++ funs(Bin, Names);
        {error, _} -> []
    end.

%% A file that does not hold the name of a target cannot import it; most are
%% told apart by that. Compressed files are looked into.
imports(<<"FOR1", _/binary>> = Bin, Names) ->
    case binary:match(Bin, Names) of
        nomatch -> [];
        _ -> imports(Bin)
    end;
imports(Bin, _Names) ->
    imports(Bin).

imports(Bin) ->
    case beam_lib:chunks(Bin, [imports]) of
        {ok, {_, [{imports, Imports}]}} -> Imports;
        _ -> []
    end.

%% What is wrong with a file that is no longer what runs is nobody's business.
funs(Bin, Names) ->
    try
        {ok, {_, [{_, Chunk}]}} = beam_lib:chunks(Bin, ["LitT"]),
        Table = inflated(Chunk),
        case binary:match(Table, Names) of
            nomatch -> [];
            _ -> lists:flatmap(fun(Literal) -> funs_in(binary_to_term(Literal)) end, literals(Table, Names))
        end
    catch
        error:_ -> []
    end.

%% Not deflated from OTP 28 on.
inflated(<<0:32, Table/binary>>) -> Table;
inflated(<<_:32, Deflated/binary>>) -> zlib:uncompress(Deflated).

literals(<<_:32, Entries/binary>>, Names) ->
    [Literal || <<Size:32, Literal:Size/binary>> <= Entries, binary:match(Literal, Names) =/= nomatch].

funs_in(Fun) when is_function(Fun) ->
    [mfa(Fun) || erlang:fun_info(Fun, type) =:= {type, external}];
funs_in([Head | Tail]) -> funs_in(Head) ++ funs_in(Tail);
funs_in(Tuple) when is_tuple(Tuple) -> funs_in(tuple_to_list(Tuple));
funs_in(Map) when is_map(Map) -> funs_in(maps:to_list(Map));
funs_in(_) -> [].

mfa(Fun) ->
    list_to_tuple([element(2, erlang:fun_info(Fun, I)) || I <- [module, name, arity]]).

md5_of(M) ->
    case nzd_agent_text:info(M, md5) of
        none -> {M, none, none};
        Md5 -> {M, Md5, term_to_binary(nzd_agent_text:info(M, attributes))}
    end.
