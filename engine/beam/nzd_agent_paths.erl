%% SPDX-License-Identifier: Apache-2.0
%%
%% The agent: where a later load and a restart find the code in force, and what
%% the VM tells of its applications.
-module(nzd_agent_paths).

-include_lib("kernel/include/file.hrl").

-export([appup/1]).
-export([
    back_to/1,
    base_file/1,
    base_folder/1,
    boot_argument/0,
    boot_file/0,
    folder/1,
    in_folder/2,
    is_overlay/1,
    lead_to/1,
    put_app/2,
    put_paths/2,
    remember_boot_file/0,
    restart_with/1
]).

%% Bytes of an .appup.
-define(APPUP, (1 bsl 20)).
-define(BASE_BOOT, {nzd, base_boot}).

%% At one instant. A folder that the path lacks comes first.
-spec put_paths([{string(), string()}], binary()) -> ok | {error, term()}.
put_paths(Folders, Boot) ->
    ok = remember_boot_file(),
    Now = code:get_path(),
    Base = [base_folder(P) || P <- Now],
    New =
        [I || {B, I} <- Folders, not lists:member(B, Base)] ++
            [proplists:get_value(B, Folders, B) || B <- Base],
    case New =:= Now orelse set_path(New) of
        true when Boot =:= <<>> -> ok;
        true -> restart_with(nzd_agent_text:native(Boot));
        {error, _} = Error -> Error
    end.

%% To the files of a generation that is not committed: what init:restart/0
%% boots stays as it is.
-spec lead_to([{string(), string()}]) -> ok | {error, binary()}.
lead_to([]) -> ok;
lead_to(Folders) -> told(put_paths(Folders, <<>>)).

%% The path that was, exactly; and what somebody else has put before or behind
%% it meanwhile.
-spec back_to(none | [string()]) -> ok | {error, binary()}.
back_to(none) ->
    ok;
back_to(Path) ->
    Known = maps:from_list([{base_folder(P), P} || P <- Path]),
    Others = fun(P) -> not stands_for(P, Path, Known) end,
    {First, Rest} = lists:splitwith(Others, code:get_path()),
    Back = First ++ Path ++ lists:filter(Others, Rest),
    told(Back =:= code:get_path() orelse set_path(Back)).

%% What stands for a folder of the path, or has come with an overlay.
stands_for(P, Path, Known) ->
    lists:member(P, Path) orelse is_map_key(base_folder(P), Known) orelse is_of_overlay(P).

is_of_overlay([$/ | _] = Path) -> string:find(Path, "/nzd/overlay/") =/= nomatch;
is_of_overlay(_) -> false.

told(Done) when Done =:= ok; Done =:= true -> ok;
told({error, Why}) -> {error, nzd_agent_text:text(io_lib:format("the code path cannot be set: ~0tp", [Why]))}.

%% What init:restart/0 boots. The configuration goes with the script: the file
%% beside it is read in place of the release's, which -config names first;
%% init:make_permanent/2 changes no other.
-spec restart_with(string()) -> ok | {error, term()}.
restart_with(Boot) ->
    File = filename:join(filename:dirname(Boot), "sys.config"),
    case {config_argument(), is_overlays_own(File)} of
        {none, true} -> {error, <<"-config does not name the release's sys.config first">>};
        {Is, false} when Is =:= none; Is =:= base -> init:make_permanent(Boot, false);
        _ -> restart_with(Boot, config_to_read(File))
    end.

restart_with(Boot, {ok, Config}) ->
    case init:make_permanent(Boot, Config) of
        ok -> name_config(Config);
        {error, _} = Error -> Error
    end;
restart_with(_Boot, {error, _} = Error) ->
    Error.

%% Elixir's config providers read it once more, by this name.
name_config(Config) ->
    case os:getenv("RELEASE_SYS_CONFIG") of
        false -> ok;
        _ -> true = os:putenv("RELEASE_SYS_CONFIG", Config), ok
    end.

%% What -config names first: the release's file, that of an overlay, a copy of
%% one of them that a release's script has made, or none of these.
config_argument() ->
    case init:get_argument(config) of
        {ok, [[First] | _]} -> kind_of_config(config_file(First));
        _ -> none
    end.

kind_of_config(File) ->
    Copy = os:getenv("RELEASE_SYS_CONFIG"),
    case boot_file() of
        none ->
            none;
        Boot ->
            Base = filename:join(filename:dirname(Boot), "sys.config"),
            Kinds = [
                {overlay, is_overlay(File)},
                {base, is_same_file(File, Base)},
                {copy, Copy =/= false andalso config_file(Copy) =:= File},
                {none, true}
            ],
            element(1, lists:keyfind(true, 2, Kinds))
    end.

config_file(Name) ->
    filename:absname(filename:rootname(Name, ".config") ++ ".config").

is_same_file(A, B) ->
    case {file:read_file_info(A), file:read_file_info(B)} of
        {{ok, #file_info{major_device = D, inode = I}}, {ok, #file_info{major_device = D, inode = I}}} ->
            true;
        _ ->
            A =:= B
    end.

%% Of a generation that has the base's it is a link.
is_overlays_own(File) ->
    is_overlay(File) andalso filelib:is_regular(File) andalso
        element(1, file:read_link(File)) =:= error.

%% One that Elixir writes to is copied first, as the release's script does.
config_to_read(File) ->
    case file:read_file(File) of
        {ok, Bytes} ->
            case binary:match(Bytes, <<"RUNTIME_CONFIG=true">>) of
                nomatch -> {ok, filename:rootname(File)};
                _ -> copy_config(Bytes, os:getenv("RELEASE_TMP"))
            end;
        {error, Reason} ->
            {error, {nzd_agent_text:text(File), Reason}}
    end.

copy_config(_Bytes, false) ->
    {error, <<"RELEASE_TMP names no folder for a copy of sys.config">>};
copy_config(Bytes, Tmp) ->
    To = filename:join(Tmp, "nzd-" ++ os:getpid() ++ ".runtime"),
    _ = filelib:ensure_dir(To),
    case file:write_file(To ++ ".config", Bytes) of
        ok -> {ok, To};
        {error, _} = Error -> Error
    end.

%% A folder that has gone since is no reason to refuse all of them.
set_path(Path) ->
    case code:set_path(Path) of
        true -> true;
        {error, _} -> code:set_path([P || P <- Path, filelib:is_dir(P)])
    end.

%% A folder of an overlay names the one of the base that it stands for.
-spec base_folder(string() | atom()) -> string() | atom().
base_folder([$/ | _] = Path) ->
    case file:read_link(filename:join(Path, ".base")) of
        {ok, [$/ | _] = Base} -> Base;
        _ -> base_of_gone(Path, string:find(Path, "/nzd/overlay/"))
    end;
base_folder(Path) ->
    Path.

%% Code stays loaded from an overlay that has gone since. What is on the code
%% path instead stands for the same folder.
base_of_gone(Path, nomatch) ->
    Path;
base_of_gone(Path, _) ->
    case [P || [$/ | _] = P <- code:get_path(), P =/= Path, is_same_folder(P, Path)] of
        [Now | _] -> linked_base(Now, file:read_link(filename:join(Now, ".base")));
        [] -> Path
    end.

linked_base(_, {ok, [$/ | _] = Base}) -> Base;
linked_base(Now, _) -> Now.

%% ".../counter-0.1.0/ebin" and ".../counter-0.2.0/ebin", or "consolidated".
is_same_folder(A, B) ->
    folder_name(A) =:= folder_name(B).

folder_name(Path) ->
    case filename:basename(Path) of
        "ebin" -> {app, hd(string:split(filename:basename(filename:dirname(Path)), "-"))};
        Name -> Name
    end.

%% What application:get_key/2 and which_applications/0 tell of a loaded
%% application, as if it had been loaded with this specification. Its
%% environment is left alone: application_controller's own way would take each
%% key out for a moment, and lose what was set at run time.
%%
%% False: this OTP keeps what it tells in a form that is not known, and
%% nothing was changed. The form is that of OTP 24 to 28; see #appl{} and
%% #appl_data{} in kernel's application_controller.erl.
-spec put_app(tuple(), non_neg_integer()) -> boolean().
put_app(_Spec, 0) ->
    false;
put_app({application, App, Keys} = Spec, Tries) ->
    try ets:lookup(ac_tab, {loaded, App}) of
        [] ->
            true;
        [{{loaded, App}, Old}] ->
            case is_known(App, Old) andalso is_known(kernel) andalso is_known(stdlib) of
                true -> replace_app(App, Old, described(Old, Keys)) orelse put_app(Spec, Tries - 1);
                false -> put_app(Spec, Tries - 1)
            end
    catch
        error:badarg -> false
    end.

%% At one instant, and only where it still is what was looked at: nothing of
%% ours runs in application_controller, and what it does meanwhile stands.
replace_app(App, Old, New) ->
    Key = {loaded, App},
    1 =:=
        ets:select_replace(ac_tab, [
            {{Key, '$1'}, [{'=:=', '$1', {const, Old}}], [{{{const, Key}, {const, New}}}]}
        ]).

is_known(App) ->
    case ets:lookup(ac_tab, {loaded, App}) of
        [{_, Appl}] -> is_known(App, Appl);
        [] -> false
    end.

%% Each field is what the key of its name is told to be.
is_known(App, {appl, App, Data, Description, Id, Vsn, _Restart, Included, Optional, Apps}) ->
    case Data of
        {appl_data, App, Registered, Phases, Mod, Modules, MaxP, MaxT} ->
            lists:all(fun({Key, Value}) -> application:get_key(App, Key) =:= {ok, Value} end, [
                {description, Description},
                {id, Id},
                {vsn, Vsn},
                {included_applications, Included},
                {optional_applications, Optional},
                {applications, Apps},
                {registered, Registered},
                {start_phases, Phases},
                {mod, Mod},
                {modules, Modules},
                {maxP, MaxP},
                {maxT, MaxT}
            ]);
        _ ->
            false
    end;
is_known(_App, _Other) ->
    false.

%% With the defaults of application_controller.
described({appl, App, _, _, _, _, Restart, _, _, _}, Keys) ->
    Data = {
        appl_data,
        App,
        key(registered, Keys, []),
        key(start_phases, Keys, undefined),
        key(mod, Keys, []),
        key(modules, Keys, []),
        key(maxP, Keys, infinity),
        key(maxT, Keys, infinity)
    },
    {
        appl,
        App,
        Data,
        key(description, Keys, ""),
        key(id, Keys, ""),
        key(vsn, Keys, ""),
        Restart,
        key(included_applications, Keys, []),
        key(optional_applications, Keys, []),
        key(applications, Keys, [])
    }.

key(Key, Keys, Default) ->
    case lists:keyfind(Key, 1, Keys) of
        {_, Value} -> Value;
        false -> Default
    end.

-spec folder(string() | atom()) -> string() | atom().
folder(Path) when is_list(Path) -> filename:dirname(Path);
folder(Atom) -> Atom.

-spec in_folder(string() | atom(), string() | atom()) -> string() | atom().
in_folder(Folder, Path) when is_list(Path) ->
    filename:join(Folder, filename:basename(Path));
in_folder(_Folder, Atom) ->
    Atom.

-spec base_file(string() | atom()) -> string() | atom().
base_file(Path) ->
    in_folder(base_folder(folder(Path)), Path).

-spec boot_file() -> none | string().
boot_file() ->
    Boot = boot_argument(),
    case is_overlay(Boot) of
        true -> unicode:characters_to_list(nzd_agent_text:read(beside(Boot)));
        false when Boot =:= none -> persistent_term:get(?BASE_BOOT, none);
        false -> Boot
    end.

%% The overlay lies in RAM and may vanish; what it lies over stays known.
-spec remember_boot_file() -> ok.
remember_boot_file() ->
    Known = persistent_term:get(?BASE_BOOT, none),
    case boot_file() of
        none -> ok;
        Known -> ok;
        File -> persistent_term:put(?BASE_BOOT, File)
    end.

%% The script that this VM has booted.
-spec boot_argument() -> none | string().
boot_argument() ->
    case init:get_argument(boot) of
        {ok, [[Boot | _] | _]} ->
            case filelib:is_regular(Boot ++ ".boot") of
                true -> filename:absname(Boot ++ ".boot");
                false -> none
            end;
        _ ->
            none
    end.

%% The file `base` beside an overlay's boot script names the one of the
%% release that lies below.
-spec is_overlay(none | string()) -> boolean().
is_overlay(none) -> false;
is_overlay(Boot) -> filelib:is_regular(beside(Boot)).

beside(Boot) -> filename:join(filename:dirname(Boot), "base").

%% --- instructions ----------------------------------------------------------

%% The .appup that the code path has of it.
-spec appup(binary()) -> [binary()].
appup(App) ->
    case code:where_is_file(unicode:characters_to_list(App) ++ ".appup") of
        Path when is_list(Path) ->
            [T || ?APPUP >= filelib:file_size(Path), T <- [nzd_agent_text:read(Path)], is_binary(T)];
        non_existing ->
            []
    end.
