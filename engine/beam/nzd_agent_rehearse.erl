%% SPDX-License-Identifier: Apache-2.0
%%
%% The agent: a rehearsal. Each code_change that a switch would call is called
%% beforehand, by new code that is loaded under other names, on a copy of a real
%% state. Nobody is suspended: a process is asked for its state as sys:get_state
%% does it.
%%
%%   keeper   holds the name: one rehearsal at a time. Has the names of the
%%            other code purged, however the player ends, before it answers;
%%            ends the player when the agent or nzd is gone, or time is up
%%   player   loads, finds the processes, one worker for each; where the keeper
%%            is gone it purges what there is itself
%%   worker   holds the copy; bounded in memory and in time, at low priority.
%%            It has the dictionary of the process that it plays, too
%%
%% The names are those of the modules behind ?PREFIX, always the same, so that
%% the atoms do not grow with the rehearsals. Where keeper and player end in the
%% same instant their code stays until the next agent or rehearsal begins.
-module(nzd_agent_rehearse).

-include("nzd_agent.hrl").

-export([is_shadow/1, start/3, sweep/0]).
%% Spawned by name, so that no closure of ours outlives an agent.
-export([keep/4, play/2, work/3]).

-define(KEEPER, nzd_rehearsal).
-define(PREFIX, "nzd_shadow.").
%% Milliseconds between two looks at what binaries a worker holds.
-define(LOOK, 20).
%% Milliseconds for supervisors to tell of their children.
-define(TELL, 200).
%% Frames of a stack, and failures of a module, that are told.
-define(FRAMES, 8).
-define(FAILURES, 3).

%% What is rehearsed: code_change of Module, as Shadow has it, with Version and
%% Extra. Of
%% one that may call funs, a state that holds some is left out: they are real.
-record(part, {module, shadow, version, calls_funs, extra}).
%% Processes of each module; milliseconds for a state to be told, for a
%% code_change, for all of it; bytes of a worker.
-record(limits, {processes, read, change, all, bytes}).

-type job() :: {[tuple()], [{module(), binary()}], tuple()}.

%% The answer goes to From: {rehearsed, [{Module, Processes, Well, Microseconds,
%% [{failed | skipped, Pid, Name, Why, Shape, [Frame]}]}]}, or an error.
-spec start(pid(), term(), job()) -> pid().
start(From, Ref, Job) ->
    spawn(?MODULE, keep, [self(), From, Ref, Job]).

-spec is_shadow(module()) -> boolean().
is_shadow(M) ->
    lists:prefix(?PREFIX, atom_to_list(M)).

%% Takes what an earlier rehearsal has left, unless one goes on.
-spec sweep() -> ok.
sweep() ->
    case whereis(?KEEPER) of
        undefined -> purge();
        _ -> ok
    end.

purge() ->
    %% What a killed player has asked the code server to load is loaded then.
    _ = code:get_path(),
    lists:foreach(
        fun(M) ->
            _ = code:purge(M),
            _ = code:delete(M),
            _ = code:purge(M)
        end,
        [M || M <- erlang:loaded(), is_shadow(M)]
    ).

%%% --- keeper -----------------------------------------------------------

-spec keep(pid(), pid(), term(), job()) -> ok.
keep(Agent, From, Ref, Job) ->
    _ = process_flag(trap_exit, true),
    Answer =
        try register(?KEEPER, self()) of
            true -> kept(Agent, node(From), Job)
        catch
            error:badarg -> {error, {busy, <<"another rehearsal goes on">>}}
        end,
    nzd_agent:reply(From, Ref, Answer),
    ok.

kept(Agent, Node, {_, _, Limits} = Job) ->
    Watched = monitor(process, Agent),
    %% The loss of a link that is lost already would never be seen.
    _ = [self() ! {nodedown, Node} || not lists:member(Node, nodes(connected))],
    _ = monitor_node(Node, true),
    purge(),
    {Player, Ref} = spawn_opt(?MODULE, play, [self(), Job], [link, monitor, {priority, low}]),
    Timeout = (limits(Limits))#limits.all,
    Answer =
        receive
            {'DOWN', Ref, process, Player, {rehearsed, Rows}} ->
                {rehearsed, Rows};
            {'DOWN', Ref, process, Player, Why} ->
                {error, {rehearsal, nzd_agent_text:printed(Why)}};
            {'DOWN', Watched, process, Agent, _} ->
                stopped(Player, Ref, <<"the agent is gone">>);
            {nodedown, Node} ->
                stopped(Player, Ref, <<"nzd is gone">>)
        after Timeout + 5000 ->
            stopped(Player, Ref, <<"it did not come to an end">>)
        end,
    purge(),
    Answer.

stopped(Player, Ref, Why) ->
    exit(Player, kill),
    receive
        {'DOWN', Ref, process, Player, _} -> {error, {rehearsal, Why}}
    end.

limits({Processes, Read, Change, All, Bytes}) ->
    #limits{processes = Processes, read = Read, change = Change, all = All, bytes = Bytes}.

%%% --- player -----------------------------------------------------------

-spec play(pid(), job()) -> no_return().
play(Keeper, {Parts, Code, Limits0}) ->
    _ = process_flag(trap_exit, true),
    Limits = limits(Limits0),
    ok = load(Code),
    Until = erlang:monotonic_time(millisecond) + Limits#limits.all,
    Users = users([element(1, P) || P <- Parts]),
    Rows = [play_part(part(P), Users, Limits, Until, Keeper) || P <- Parts],
    purge(),
    exit({rehearsed, Rows}).

part({Module, Shadow, Version, CallsFuns, Extra}) ->
    #part{
        module = Module,
        shadow = Shadow,
        version = version(Version, Module),
        calls_funs = CallsFuns,
        extra = Extra
    }.

%% What is to be undone is called with the version that it goes back to.
version(up, Module) -> nzd_agent_text:vsn(nzd_agent_text:info(Module, attributes));
version({down, Attributes}, _) -> {down, nzd_agent_text:vsn(binary_to_term(Attributes))}.

%% One at a time, so that no scheduler is held for long: nobody calls them yet.
load(Code) ->
    lists:foreach(fun({M, Bin}) -> ok = code:finish_loading(prepared(M, Bin)) end, Code).

prepared(M, Bin) ->
    {ok, Prepared} = code:prepare_loading([{M, "nzd_shadow", Bin}]),
    Prepared.

play_part(#part{module = M} = Part, #{} = All, Limits, Until, Keeper) ->
    Begin = erlang:monotonic_time(),
    #{M := Users} = All,
    {Chosen, More} = choose(Users, Limits#limits.processes),
    Play = fun(User) -> play_user(User, Part, Limits, Until, Keeper) end,
    {Well, Told} = play_users(Play, Chosen, 0, []),
    Notes = [N || N <- Told, N =/= another],
    {Failed, Skipped} = lists:partition(fun(N) -> element(1, N) =:= failed end, Notes),
    {M, length(Users) - length(Told -- Notes), Well, nzd_agent_text:since(Begin), Failed ++ few(Skipped) ++ more(More)}.

%% The first that had to be ended is the last: the next would be another.
play_users(_Play, [], Well, Notes) ->
    {Well, lists:reverse(Notes)};
play_users(Play, [User | Users], Well, Notes) ->
    case Play(User) of
        ok ->
            play_users(Play, Users, Well + 1, Notes);
        {ended, Note} ->
            {Well, lists:reverse([Note | Notes])};
        Note ->
            Failed = [N || {failed, _, _, _, _, _} = N <- [Note | Notes]],
            Left = [U || U <- Users, length(Failed) < ?FAILURES],
            play_users(Play, Left, Well, [Note | Notes])
    end.

few(Skipped) ->
    {Told, Rest} = lists:split(min(?FAILURES, length(Skipped)), Skipped),
    Told ++ more(length(Rest)).

more(0) -> [];
more(N) -> [{skipped, <<>>, <<>>, nzd_agent_text:text(io_lib:format("~w more", [N])), <<>>, []}].

%% First one of each size of heap, then the next of each, and so on: states of
%% other sizes are other states.
choose(Users, Most) ->
    Sized = [{heap_words(P), P, Kind} || {P, Kind} <- Users],
    Groups = lists:foldl(
        fun({Size, P, Kind}, All) ->
            maps:update_with(Size, fun(L) -> [{P, Kind} | L] end, [{P, Kind}], All)
        end,
        #{},
        Sized
    ),
    Ranked = lists:append([lists:zip(lists:seq(1, length(L)), L) || L <- maps:values(Groups)]),
    Chosen = lists:sublist(lists:keysort(1, Ranked), Most),
    {[U || {_, U} <- Chosen], length(Users) - length(Chosen)}.

heap_words(P) ->
    case process_info(P, total_heap_size) of
        {_, Words} -> Words;
        undefined -> 0
    end.

%% #{Module => [{Pid, Kind}]}: who a plan names. A supervisor has no code_change;
%% a gen_statem that was started as another module is not known before it is
%% suspended.
users(Modules0) ->
    Modules = maps:from_keys(Modules0, true),
    Tree = nzd_agent_users:tree(Modules, erlang:monotonic_time(millisecond) + ?TELL),
    {Users, _} = nzd_agent_users:find(Modules, Tree, #{}),
    Kinds = maps:from_list([
        {nzd_agent_text:text(pid_to_list(P)), {P, Kind}}
     || #user{pid = P, kind = Kind} <- Users
    ]),
    Played = [
        {M, U}
     || {Pid, _, M, _, _} <- nzd_agent_state:users(Modules),
        #{Pid := {_, Kind} = U} <- [Kinds],
        is_played(Kind, M)
    ],
    maps:from_list([{M, [U || {N, U} <- Played, N =:= M]} || M <- Modules0]).

%% What system_get_state tells is not what system_code_change is given.
is_played(special, M) -> not erlang:function_exported(M, system_get_state, 1);
is_played(Kind, _) -> lists:member(Kind, [server, statem, event]).

play_user({P, Kind}, Part, Limits, Until, Keeper) ->
    #limits{bytes = Bytes} = Limits,
    Word = erlang:system_info(wordsize),
    Note = fun(What, Why, Shape, Stack) ->
        {What, nzd_agent_text:text(pid_to_list(P)), nzd_agent_who:name(P), Why, Shape, Stack}
    end,
    case {heap_words(P) * Word * 4 > Bytes, erlang:monotonic_time(millisecond) < Until} of
        {true, _} ->
            Note(skipped, <<"its state may be too large to be copied">>, <<>>, []);
        {_, false} ->
            Note(skipped, <<"there was no time left">>, <<>>, []);
        _ ->
            Heap = #{size => Bytes div Word, kill => true, error_logger => false},
            Options = [link, monitor, {priority, low}, {max_heap_size, Heap}],
            Arguments = [self(), {P, Kind, Limits#limits.read}, Part],
            {Worker, Ref} = spawn_opt(?MODULE, work, Arguments, Options),
            case watch(Worker, Ref, Limits, Keeper) of
                ok -> ok;
                another -> another;
                {ended, Why, Shape, Stack} -> {ended, Note(failed, Why, Shape, Stack)};
                {What, Why, Shape, Stack} -> Note(What, Why, Shape, Stack)
            end
    end.

%%% --- a worker, from outside -------------------------------------------

watch(Worker, Ref, #limits{read = Read} = Limits, Keeper) ->
    receive
        {Worker, copied, Shape} ->
            Until = erlang:monotonic_time(millisecond) + Limits#limits.change,
            watch_change(Worker, Ref, Shape, Until, Limits, Keeper);
        {Worker, skipped, Why} ->
            _ = ended(Worker, Ref),
            {skipped, Why, <<>>, []};
        {'DOWN', Ref, process, Worker, another} ->
            another;
        {'DOWN', Ref, process, Worker, killed} ->
            {skipped, <<"its state is too large to be copied">>, <<>>, []};
        {'DOWN', Ref, process, Worker, {timeout, _}} ->
            {skipped, not_told(Read), <<>>, []};
        {'DOWN', Ref, process, Worker, Why} ->
            {skipped, nzd_agent_text:text(["it did not tell its state: ", nzd_agent_shape:shape(Why)]), <<>>, []};
        {'EXIT', Keeper, _} ->
            alone(Worker)
    after Read + 1000 ->
        _ = ended(Worker, Ref),
        {skipped, not_told(Read), <<>>, []}
    end.

not_told(Read) ->
    nzd_agent_text:text(io_lib:format("it did not tell its state within ~b ms", [Read])).

watch_change(Worker, Ref, Shape, Until, Limits, Keeper) ->
    Left = Until - erlang:monotonic_time(millisecond),
    receive
        {'DOWN', Ref, process, Worker, {worked, ok}} ->
            ok;
        {'DOWN', Ref, process, Worker, {worked, {away, Why}}} ->
            {skipped, Why, <<>>, []};
        {'DOWN', Ref, process, Worker, {worked, {Why, Stack}}} ->
            {failed, Why, Shape, Stack};
        {'DOWN', Ref, process, Worker, killed} ->
            {ended, too_much(Limits), Shape, []};
        {'DOWN', Ref, process, Worker, Reason} ->
            {failed, nzd_agent_text:text(["ended: ", nzd_agent_shape:shape(Reason)]), Shape, []};
        {'EXIT', Keeper, _} ->
            alone(Worker)
    after max(0, min(?LOOK, Left)) ->
        case {Left =< 0, binaries(Worker) > Limits#limits.bytes} of
            {true, _} ->
                Text = io_lib:format("did not return within ~b ms", [Limits#limits.change]),
                {ended, nzd_agent_text:text(Text), Shape, ended(Worker, Ref)};
            {_, true} ->
                {ended, too_much(Limits), Shape, ended(Worker, Ref)};
            _ ->
                watch_change(Worker, Ref, Shape, Until, Limits, Keeper)
        end
    end.

too_much(#limits{bytes = Bytes}) ->
    nzd_agent_text:text(io_lib:format("took more than ~b MB of memory", [Bytes bsr 20])).

%% Bytes that its heap does not show.
binaries(Worker) ->
    case process_info(Worker, garbage_collection_info) of
        {_, Items} ->
            Words = lists:sum([N || {K, N} <- Items, K =:= bin_vheap_size orelse K =:= bin_old_vheap_size]),
            Words * erlang:system_info(wordsize);
        undefined ->
            0
    end.

%% Ends it; where it was.
ended(Worker, Ref) ->
    Stack =
        case process_info(Worker, current_stacktrace) of
            {_, Frames} -> frames(Frames);
            undefined -> []
        end,
    exit(Worker, kill),
    receive
        {'DOWN', Ref, process, Worker, _} -> Stack
    end.

%% Nobody waits for the outcome, and nobody else would purge.
alone(Worker) ->
    unlink(Worker),
    exit(Worker, kill),
    purge(),
    exit(normal).

%%% --- a worker ---------------------------------------------------------

-spec work(pid(), {pid(), atom(), timeout()}, #part{}) -> no_return().
work(Player, {P, Kind, Read}, #part{calls_funs = CallsFuns} = Part) ->
    case process_info(P, dictionary) of
        {dictionary, Dictionary} ->
            _ = [put(K, V) || {K, V} <- Dictionary],
            {State, Calls} = copied(P, Kind, Read, Part),
            case CallsFuns andalso holds_fun([Dictionary | Calls]) of
                true ->
                    Player ! {self(), skipped, <<"its state holds funs, which code_change may call">>},
                    exit(normal);
                false ->
                    Player ! {self(), copied, nzd_agent_shape:shape(State)},
                    exit({worked, changed(Part#part.shadow, Kind, Calls)})
            end;
        undefined ->
            Player ! {self(), skipped, <<"it has ended">>},
            exit(normal)
    end.

%% The state, and the arguments of each call. Which module a gen_statem runs now
%% and which handlers a gen_event has only they know.
copied(P, event, Read, #part{version = V, module = M, extra = Extra}) ->
    case [S || {H, _, S} <- sys:get_state(P, Read), H =:= M] of
        [] -> exit(another);
        States -> {States, [[V, S, Extra] || S <- States]}
    end;
copied(P, statem, Read, #part{version = V, module = M, extra = Extra}) ->
    _ = callback(sys:get_status(P, Read)) =:= M orelse exit(another),
    {Name, Data} = sys:get_state(P, Read),
    {{Name, Data}, [[V, Name, Data, Extra]]};
copied(P, special, Read, #part{version = V, module = M, extra = Extra}) ->
    Misc = sys:get_state(P, Read),
    {Misc, [[Misc, M, V, Extra]]};
copied(P, server, Read, #part{version = V, extra = Extra}) ->
    State = sys:get_state(P, Read),
    {State, [[V, State, Extra]]}.

%% What gen_statem of stdlib tells of itself.
callback({status, _, _, [_, _, _, _, Misc]}) ->
    hd([M || {data, Items} <- Misc, {"Modules", [M | _]} <- Items]).

changed(_Shadow, _Kind, []) ->
    ok;
changed(Shadow, Kind, [Arguments | Calls]) ->
    try apply(Shadow, function(Kind), Arguments) of
        {ok, _} when Kind =/= statem -> changed(Shadow, Kind, Calls);
        {ok, _, _} when Kind =:= statem -> changed(Shadow, Kind, Calls);
        Other -> {nzd_agent_text:text(["returned ", nzd_agent_shape:shape(Other)]), []}
    catch
        Class:Reason:Stack -> raised(Class, Reason, Stack)
    end.

raised(error, undef, [{M, F, A, _} | _] = Stack) when is_list(A) ->
    case real(M) of
        "" -> {away, dynamic(lists:reverse(A))};
        _ -> {text(error, {undef, {M, F, length(A)}}), frames(Stack)}
    end;
raised(Class, Reason, Stack) ->
    {text(Class, Reason), frames(Stack)}.

%% What stands there is a call of a module that only shows when it is called.
dynamic([Arguments, F, M]) when is_list(Arguments) -> called(M, F, length(Arguments));
dynamic([F, M | Arguments]) -> called(M, F, length(Arguments)).

called(M, F, Arity) ->
    nzd_agent_text:text(io_lib:format("code_change came to a call of ~tp:~tp/~b by its name", [M, F, Arity])).

text(Class, Reason) ->
    nzd_agent_text:text([atom_to_list(Class), ": ", reason(Reason)]).

%% Keys and names of functions are no secrets.
reason({badkey, Key}) when is_atom(Key) -> io_lib:format("{badkey, ~tw}", [Key]);
reason({undef, {M, F, A}}) -> io_lib:format("undef ~ts:~tw/~b", [real(M), F, A]);
reason(Reason) -> nzd_agent_shape:shape(Reason).

function(special) -> system_code_change;
function(_) -> code_change.

holds_fun(F) when is_function(F) -> true;
holds_fun([H | T]) -> holds_fun(H) orelse holds_fun(T);
holds_fun(T) when is_tuple(T) -> holds_fun(tuple_to_list(T));
holds_fun(M) when is_map(M) -> holds_fun(maps:to_list(M));
holds_fun(_) -> false.

%%% --- stacks ------------------------------------------------------------

%% Of the functions alone, never their arguments.
frames(Stack) ->
    Own = [F || {M, _, _, _} = F <- Stack, M =/= ?MODULE],
    [frame(F) || F <- lists:sublist(Own, ?FRAMES)].

frame({M, F, A, Where}) ->
    Arity =
        case A of
            _ when is_list(A) -> length(A);
            _ -> A
        end,
    Line =
        case lists:keyfind(line, 1, Where) of
            {line, N} -> io_lib:format(" line ~b", [N]);
            false -> ""
        end,
    nzd_agent_text:text([real(M), io_lib:format(":~tw/~b", [F, Arity]), Line]).

real(M) ->
    case atom_to_list(M) of
        ?PREFIX ++ Name -> Name;
        Name -> Name
    end.
