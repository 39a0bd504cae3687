%% SPDX-License-Identifier: Apache-2.0
%%
%% The agent: has suspended processes convert their states, and says who did not.
%% nzd_agent_state holds them, and puts back.
-module(nzd_agent_change).

-include("nzd_agent.hrl").

-export([change/4, refresh/3, mode/1]).
%% Run in the processes themselves, by name, so that no closure of ours stays
%% there.
-export([aside/1, as_converted/1, from_aside/1]).

%% Has those of these kinds change their states; Vsn gives the version and the
%% extra argument that code_change is called with. `first`: the first that fails
%% ends it, and all states are to be put back; `all`: who fails is told, and keeps
%% the state it has.
-spec change(
    #held{}, [atom()], fun((module()) -> {term(), term()}), {first | all, pos_integer()}
) -> {ok, #held{}, [term()]} | {error, term(), #held{}}.
change(#held{users = Users} = Held, Kinds, Vsn, {Until, Limit}) ->
    Begin = erlang:monotonic_time(),
    Tag = make_ref(),
    Asked = [
        {P, M}
     || {P, #user{kind = Kind, modules = Mine, kept = false}} <- maps:to_list(Users),
        lists:member(Kind, Kinds),
        M <- Mine,
        changes(Kind, M)
    ],
    _ = [
        P ! {system, {self(), {Tag, {P, M}}}, {change_code, M, V, Extra}}
     || {P, M} <- Asked, {V, Extra} <- [Vsn(M)]
    ],
    Waiting = maps:from_keys(Asked, true),
    Failed = changed(Tag, Waiting, {Until, nzd_agent_text:now_ms() + Limit}, Users, []),
    Done = Held#held{
        users = in_new_mode(Asked, Failed, Users),
        hung = [P || {P, _, hung} <- Failed] ++ Held#held.hung,
        changed = Held#held.changed + length(lists:usort([P || {P, _} <- Asked])),
        changed_us = Held#held.changed_us + nzd_agent_text:since(Begin)
    },
    case [failure(F, Users, Limit) || F <- lists:reverse(Failed)] of
        [Why | _] when Until =:= first -> {error, Why, Done};
        Failures -> {ok, Done, Failures}
    end.

%% Somebody has ended it; its code_change would have ended it otherwise.
is_wanted(normal) -> true;
is_wanted(shutdown) -> true;
is_wanted({shutdown, _}) -> true;
is_wanted(killed) -> true;
is_wanted(noproc) -> true;
is_wanted(_) -> false.

%% A gen_statem asks for its callback mode again behind its code_change.
in_new_mode(Asked, Failed, Users) ->
    lists:foldl(
        fun({P, M}, All) ->
            case All of
                #{P := #user{kind = statem, modes = Was} = User} ->
                    Is =
                        case Failed of
                            [] -> [mode(M)];
                            _ -> lists:usort([mode(M) | Was])
                        end,
                    All#{P := User#user{modes = Is}};
                _ ->
                    All
            end
        end,
        Users,
        Asked
    ).

changes(supervisor, _M) ->
    true;
changes(_Kind, M) ->
    lists:any(fun({F, A}) -> erlang:function_exported(M, F, A) end, [
        {code_change, 3}, {code_change, 4}, {system_code_change, 4}
    ]).

changed(_Tag, Waiting, _Until, _Users, Failed) when map_size(Waiting) =:= 0 ->
    Failed;
changed(_Tag, _Waiting, {first, _}, _Users, [_ | _] = Failed) ->
    Failed;
changed(Tag, Waiting, {_, Deadline} = Until, Users, Failed) ->
    receive
        {{Tag, Key}, ok} ->
            changed(Tag, maps:remove(Key, Waiting), Until, Users, Failed);
        {{Tag, {P, M} = Key}, Error} ->
            changed(Tag, maps:remove(Key, Waiting), Until, Users, [{P, M, Error} | Failed]);
        {'DOWN', _, process, P, Reason} when is_map_key(P, Users) ->
            Gone = [Key || {Q, _} = Key <- maps:keys(Waiting), Q =:= P],
            Ended = [{P, M, {ended, Reason}} || {_, M} <- Gone, not is_wanted(Reason)],
            changed(Tag, maps:without(Gone, Waiting), Until, Users, Ended ++ Failed)
    after nzd_agent_text:left(Deadline) ->
        [{P, M, hung} || {P, M} <- maps:keys(Waiting)] ++ Failed
    end.

%% A gen_statem asks for its callback mode behind a code_change only. One whose
%% mode is not that of the code that runs now is asked for a code_change of that
%% code to itself, and gets the state that it had. Code that does not take its own
%% version converts once more what it was given when it came: From gives the
%% version and the extra argument of that, or none.
-spec refresh(#held{}, pos_integer(), fun((module()) -> {term(), term()} | none)) ->
    {#held{}, [term()]}.
refresh(#held{users = Users} = Held, Limit, From) ->
    Stale = [
        {P, M}
     || {P, #user{kind = statem, modules = [M], modes = Modes}} <- maps:to_list(Users),
        Modes =/= [mode(M)]
    ],
    Own = fun(M) -> {nzd_agent_text:vsn(nzd_agent_text:info(M, attributes)), []} end,
    Until = {all, nzd_agent_text:now_ms() + Limit},
    Refused = refreshed(Stale, Own, [], Until, Held),
    Again = [{P, M} || {P, M, {error, _}} <- Refused, From(M) =/= none],
    Failed =
        refreshed(Again, From, [fun ?MODULE:as_converted/1], Until, Held) ++
            [F || {P, M, _} = F <- Refused, not lists:member({P, M}, Again)],
    {Held#held{users = in_new_mode(Stale, Failed, Users)}, [
        failure({P, M, {callback_mode, Why}}, Users, Limit)
     || {P, M, Why} <- Failed
    ]}.

%% One that hung may be back since; it is not waited for again.
refreshed(Asked, Vsn, Before, Until, #held{users = Users, hung = Hung}) ->
    Tag = make_ref(),
    Nobody = nzd_agent_who:nobody(),
    Word = fun(P, Fun) -> P ! {system, {Nobody, nzd}, {replace_state, Fun}} end,
    _ = [
        begin
            {V, Extra} = Vsn(M),
            _ = [Word(P, Fun) || Fun <- [fun ?MODULE:aside/1 | Before]],
            P ! {system, {self(), {Tag, {P, M}}}, {change_code, M, V, Extra}},
            Word(P, fun ?MODULE:from_aside/1)
        end
     || {P, M} <- Asked
    ],
    Prompt = [Key || {P, _} = Key <- Asked, not lists:member(P, Hung)],
    changed(Tag, maps:from_keys(Prompt, true), Until, Users, []).

-spec aside(term()) -> term().
aside(State) ->
    put({?KEPT, aside}, {State}),
    State.

%% What its code_change has made of the state that it has got back since.
-spec as_converted(term()) -> term().
as_converted(State) ->
    case get({?KEPT, converted}) of
        {Converted} -> Converted;
        undefined -> State
    end.

%% Of an agent that has ended before it said so, too.
-spec from_aside(term()) -> term().
from_aside(State) ->
    case erase({?KEPT, aside}) of
        {Aside} -> Aside;
        undefined -> State
    end.

failure({P, M, Why}, _Users, Limit) ->
    {migrate, nzd_agent_text:text(pid_to_list(P)), nzd_agent_who:name(P), M, reason(Why, Limit)}.

reason(hung, Limit) ->
    nzd_agent_text:text(io_lib:format("did not return within ~b ms", [Limit]));
reason({callback_mode, Why}, Limit) ->
    Text = reason(Why, Limit),
    <<"its callback_mode() is another one in this code, and ", Text/binary>>;
reason({ended, Reason}, _Limit) ->
    nzd_agent_text:printed({ended, Reason});
reason({error, {'EXIT', {Reason, [{M, F, A, _} | _]}}}, _Limit) when is_list(A) ->
    nzd_agent_text:printed({Reason, {M, F, length(A)}});
reason({error, {'EXIT', {Reason, [{M, F, A, _} | _]}}}, _Limit) ->
    nzd_agent_text:printed({Reason, {M, F, A}});
reason({error, {'EXIT', Reason}}, _Limit) ->
    nzd_agent_text:printed(Reason);
reason({error, Reason}, _Limit) ->
    nzd_agent_text:printed(Reason);
reason(Other, _Limit) ->
    nzd_agent_text:printed(Other).

-spec mode(module()) -> term().
mode(M) ->
    try
        M:callback_mode()
    catch
        _:_ -> none
    end.
