%% SPDX-License-Identifier: Apache-2.0
%%
%% What the modules of the agent share: the names of what outlives them in the
%% VM, and the state of the server, which the guard holds a copy of.

-define(SERVER, nzd).
-define(TOKEN, {nzd, token}).
-define(OWNER, {nzd, owner}).
%% The last one of the fence; a small integer, so putting it collects nothing.
-define(EPOCH, {nzd, epoch}).
%% The last transaction whose start types were put in.
-define(SETTLED, {nzd, settled}).
%% Milliseconds before `nzd recover` is run once more, and at most.
-define(RECALL_WAIT, 1000).
-define(RECALL_WAIT_MAX, 300000).
%% Milliseconds in which nzd is to come before the agent restarts the VM alone.
-define(ALONE, 5000).
%% {?KEPT, _} in the dictionary of a process that is suspended: {State, Code}, its
%% state as it was before its code_change, and the code that it is of; `going` from
%% when it needs them no more until it runs. A state is never copied, however
%% large. Of a supervisor {?KEPT, ids}, too, the children of
%% the code that goes; {?KEPT, foreign} where somebody else has suspended it;
%% {?KEPT, converted} what its code_change has made of the state that it has again.
-define(KEPT, '$nzd_kept').
%% What is at its current function hibernates: by hibernate/3, and by hibernate/0
%% of OTP 28, which keeps the stack.
-define(ASLEEP, {erlang, hibernate, _}).

%% Who runs a module that changes.
-record(user, {
    pid :: pid(),
    %% A starter is suspended so that it starts no more users.
    kind :: server | maybe_statem | statem | event | supervisor | special | starter,
    %% Whose code_change it is asked for.
    modules :: [module()],
    %% It runs one of them; what a gen_event and some gen_statem run shows only
    %% when they are suspended.
    sure = true :: boolean(),
    parent = undefined :: undefined | pid(),
    %% Of a gen_statem: the callback modes that it may be in.
    modes = [] :: [term()],
    %% Suspended by an agent that is gone, in the middle of a switch or an undo,
    %% and what it keeps is of other code than the one that runs.
    kept = false :: boolean(),
    %% That code, where it is known: [{Module, {Md5, Attributes}}]; [] where none
    %% but us has suspended it. What is of the code that runs was put back.
    left = [] :: [{module(), term()}],
    %% It keeps its state.
    stashed = false :: boolean(),
    %% Somebody else has suspended it, and is to resume it.
    foreign = false :: boolean(),
    %% It hibernates: whether it is suspended does not show.
    asleep = false :: boolean(),
    monitor = none :: none | reference()
}).

%% Processes that are suspended, and how it went so far.
-record(held, {
    modules :: #{module() => boolean()},
    tree = #{} :: map(),
    seen = #{} :: map(),
    users = #{} :: #{pid() => #user{}},
    %% They did not come back from their code_change.
    hung = [] :: [pid()],
    begun = none :: none | integer(),
    suspended_us = 0 :: non_neg_integer(),
    changed = 0 :: non_neg_integer(),
    changed_us = 0 :: non_neg_integer()
}).

-record(state, {
    %% Who speaks for the transaction.
    client = none :: none | pid(),
    %% Whose act is being done, by which number.
    asked = none :: none | {pid(), term()},
    %% Runs a hook; ends with it.
    hook = none :: none | pid(),
    guard :: pid(),
    phase = idle :: idle | open | switched | trial | keeping | expired | undone,
    txn = 0 :: non_neg_integer(),
    epoch = 0 :: non_neg_integer(),
    %% Which way the states go, for how many milliseconds a process is waited
    %% for, and the changed modules that somebody may run: #{Module => it has a
    %% code_change, on one side}.
    migrate = {up, 5000, #{}} :: {up | down, pos_integer(), #{module() => boolean()}},
    %% What an .appup hands to code_change: #{Module => {Up, Down}}.
    extras = #{} :: #{module() => {term(), term()}},
    %% The side of the lower version.
    lower = old :: old | new,
    %% -vsn of the new code.
    vsns = #{} :: #{module() => term()},
    %% What the last switch or undo did to the processes, until nzd has asked.
    moved = none :: none | map(),
    %% [{Module, File, Prepared}], in one finish_loading; never used twice.
    new = [] :: [tuple()],
    %% [{Module, File, Bin}] with on_load, after the others.
    late = [] :: [tuple()],
    %% #{Module => {File, Bin, Md5, Attributes}}: the code to go back to.
    old = #{} :: map(),
    %% [{Module, Prepared}] of the old code, made where memory allows.
    old_prepared = [] :: [tuple()],
    %% Modules of it that are prepared behind the switch, and who does that.
    unprepared = [] :: [module()],
    preparer = none :: none | pid(),
    added = [] :: [module()],
    removed = [] :: [module()],
    %% [{Module, Md5, Lambdas}] of the old code, to see who holds closures.
    lambdas = [] :: [tuple()],
    %% The same of the new code, for when an undo makes it the old one.
    new_lambdas = [] :: [tuple()],
    %% What the purger has left to do: modules whose old code is to go, modules
    %% that were removed, [{Module, Md5, Lambdas}] of the code that goes.
    chores = {[], [], []} :: {[module()], [module()], [tuple()]},
    %% What changes besides code.
    live = none :: none | nzd_agent_live:live(),
    kill = [] :: [term()],
    %% Who was ended by the operator's word, until nzd has asked.
    ended = [] :: [tuple()],
    apps = [] :: [atom()],
    names = [] :: [atom()],
    %% {[Program | Arguments], [{Name, Value}]} that settles the transaction.
    recall = none :: none | {[binary()], [{binary(), binary()}]},
    %% It runs.
    recalled = none :: none | port(),
    recall_wait = ?RECALL_WAIT :: pos_integer(),
    %% Of a trial, in milliseconds of the monotonic time; and its timer.
    deadline = none :: none | integer(),
    timer = none :: none | reference(),
    %% nzd said that the trial is in its journal.
    begun = false :: boolean(),
    %% Only another boot brings the old code; whether we may have it ourselves.
    back = none :: none | boolean(),
    purger = none :: none | pid(),
    %% How the node does is watched.
    watch = none :: nzd_agent_probe:watch()
}).
