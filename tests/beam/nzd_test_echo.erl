%% SPDX-License-Identifier: Apache-2.0
%% An agent for the tests of the link: it does what it is told by its client.
-module(nzd_test_echo).

-export([start/1]).

start(Client) ->
    case {persistent_term:get(nzd_test_busy, false), whereis(nzd)} of
        {false, undefined} ->
            Pid = spawn(fun() -> loop(Client) end),
            register(nzd, Pid),
            {ok, Pid};
        {false, Pid} ->
            Pid ! {client, Client},
            {ok, Pid};
        {Text, _} ->
            {error, {busy, Text}}
    end.

loop(Client) ->
    receive
        {client, New} ->
            loop(New);
        {echo, From, Term} ->
            From ! {echo, Term},
            loop(Client);
        {keep, From} ->
            register(nzd_test_late, spawn(fun() -> late(From) end)),
            Client ! {keep, 1},
            loop(Client);
        {size, Binary} ->
            Client ! {size, byte_size(Binary)},
            loop(Client);
        {make, Size} ->
            Client ! {made, binary:copy(<<7>>, Size)},
            loop(Client);
        {count, Count} ->
            [Client ! {count, N} || N <- lists:seq(1, Count)],
            loop(Client);
        {link_and_unlink} ->
            link(Client),
            unlink(Client),
            monitor(process, Client),
            Client ! {unlinked, node(Client), nodes(hidden)},
            loop(Client);
        {busy, Text} ->
            persistent_term:put(nzd_test_busy, Text),
            Client ! {busy, true},
            loop(Client);
        {allow, Nodes} ->
            Client ! {allow, net_kernel:allow(Nodes)},
            loop(Client)
    end.

%% Speaks to a client that has gone, when it is told to.
late(From) ->
    receive
        now -> From ! {late, 1}
    end.
