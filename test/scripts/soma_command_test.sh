#!/usr/bin/env bash
# The command soma with real processes on loopback: an agent from a shared object, all that can be done with it, the
# exit codes, and both orders of start.
set -euo pipefail
build=$1
soma=$build/tools/soma
tank=$build/examples/libtank.so
work=$(mktemp -d)
pids=()
pid=
trap 'for pid in "${pids[@]}"; do kill -9 "$pid" 2>/dev/null || true; done; rm -rf "$work"' EXIT
export SOMA_AT=ipc://$work/node SOMA_LOG_LEVEL=error

# What a command ends with, and what it prints: is WANTED STATUS COMMAND...
is() {
    local wanted=$1 status=$2 got=0
    shift 2
    "$soma" --timeout=20 "$@" >"$work/out" 2>"$work/err" || got=$?
    if [ "$got" -ne "$status" ] || { [ "$wanted" != - ] && [ "$(cat "$work/out" "$work/err")" != "$wanted" ]; }; then
        echo "soma $*: ended with $got, not $status, and said:"
        cat "$work/out" "$work/err"
        echo "wanted: $wanted"
        exit 1
    fi
}

# Hosts a tank in the background: host OPTION...; its process is $!
host() {
    : >"$work/host" # now, so that nobody reads what the one before has said
    "$soma" run "$tank" tank '{"place":"cellar","limit":50}' --bind="$SOMA_AT" "$@" >"$work/host" 2>&1 &
    pids+=($!)
}

echo "== who calls comes first"
is "soma: $SOMA_AT was not reached in time" 4 ping tank --timeout=0.05
"$soma" wait tank --timeout=60 &
waiter=$!
pids+=("$waiter")
host
hosted=$!
wait "$waiter"

echo "== who calls comes second"
is - 0 ping tank
is "soma: no agent is called 'pond' at $SOMA_AT" 3 ping pond
is "soma: no agent is called 'pond' at $SOMA_AT" 4 wait pond --timeout=0.2

echo "== methods and attributes"
is 40 0 call tank fill 40
is "soma: it holds 50 litres" 1 call tank fill 11
is '{"error":{"code":-10,"text":"it holds 50 litres"}}' 1 --json call tank fill 11
is "soma: how many litres?" 1 call tank fill -5
is "soma: how many litres?" 1 call tank fill 1 2
is "soma: 'tank' has no method 'burn'" 3 call tank burn
is "soma: 'litres' is no JSON; a text needs quotes of its own: '\"litres\"'" 2 call tank fill litres
is "soma: '99999999999999999999' is no JSON that a value can be made of: too big integer near '99999999999999999999'" \
    2 call tank fill 99999999999999999999
is "soma: '{\"a\":1,\"a\":2}' is no JSON that a value can be made of: duplicate object key near '\"a\"'" \
    2 call tank fill '{"a":1,"a":2}'
is "soma: '{\"a\":' is no JSON that a value can be made of: unexpected token near end of file" 2 call tank fill '{"a":'
is 40 0 get tank litres
is cellar 0 get tank place
is '"cellar"' 0 get tank place --json
is '{"place":"cellar","limit":50,"litres":40}' 0 get -j tank
is "soma: 'tank' has no attribute 'colour'" 3 get tank colour
is "" 0 set tank limit 60
is "soma: attribute 'limit' is of type i64: a value or message is of another type than expected" 1 set tank limit '"much"'
is "soma: attribute 'litres' is only read" 1 set tank litres 1
is "" 0 send tank fill 11
is 51 0 get tank litres
"$soma" info tank | grep -q '^  fill  *adds litres, gives how many there are$'
"$soma" info tank --json | python3 -c 'import json, sys; i = json.load(sys.stdin); assert i["behavior"] == "tank" and i["attributes"][2]["settable"] is False, i'

echo "== nodes"
SOMA_AT=ipc://$work/other "$soma" run "$tank" tank --name=other --bind="ipc://$work/other" >"$work/host2" 2>&1 &
other=$!
pids+=("$other")
SOMA_AT=ipc://$work/other is - 0 wait other
"$soma" nodes --json | python3 -c 'import json, sys; n = json.load(sys.stdin); assert [i["name"] for i in n] == ["tank"], n'
"$soma" nodes | grep -q '^[0-9a-f]\{16\} tank  *up '
"$soma" top --count=2 --every=0.05 --json | python3 -c 'import json, sys
looks = [json.loads(line) for line in sys.stdin]
shown = [look[0] for look in looks if look[0]["state"] == "up"] # it may be late for one, if the machine is busy
assert len(looks) == 2 and shown[-1]["messages_per_second"] > 0 and shown[-1]["stats"]["agents"] > 0, looks'
TERM=xterm script -qec "'$soma' top --count=2 --every=0.05" "$work/terminal" >/dev/null
grep -q 'MESSAGES/S' "$work/terminal"

in_terminal() { # until it shows its table, then KEY is typed: in_terminal KEY COMMAND...; ends with what that does
    TERM=xterm /usr/bin/python3 -c 'import os, pty, sys
pid, terminal = pty.fork()
if not pid:
    os.execv(sys.argv[2], sys.argv[2:])
shown = b""
while b"MESSAGES/S" not in shown:
    shown += os.read(terminal, 65536)
os.write(terminal, sys.argv[1].encode())
try:
    while os.read(terminal, 65536):
        pass
except OSError:
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))' "$@"
}
in_terminal q "$soma" top
in_terminal $'\x03' "$soma" top
in_terminal $'\x03' "$soma" top --every=3600

echo "== top goes on while a node is silent"
looked() { # at all by the command in front of it: PYTHON
    /usr/bin/python3 -c "import json, sys
looks = [json.loads(line) for line in sys.stdin]
$1"
}
"$soma" nameserver --bind="ipc://$work/first" >"$work/server" 2>&1 &
pids+=("$!")
for name in x y; do
    "$soma" run "$tank" tank --name=$name --bind="ipc://$work/$name" --nameserver="ipc://$work/first" >"$work/$name.out" 2>&1 &
    pids+=("$!")
    "$soma" wait $name --nameserver="ipc://$work/first" --timeout=60
done
silent=$!
kill -STOP "$silent"
# if it were waited for, that would take an hour
"$soma" top --at="ipc://$work/first" --json --count=12 --every=0.1 --timeout=3600 | looked '
states = [{node["name"]: node["state"] for node in look} for look in looks]
assert len(states) == 12 and any(state["x"] == "up" for state in states), states
assert all(state["y"] == "silent" for state in states), states'
is "soma: 'y' may not have got 'fill': its node has not acknowledged it in time" 4 send --nameserver="ipc://$work/first" --timeout=3 y fill 1
kill -CONT "$silent"
"$soma" top --at="ipc://$work/first" --json --count=1000000 --every=0.05 >"$work/looks" &
top=$!
pids+=("$top")
until grep -q '"name":"y","addresses"' "$work/looks"; do sleep 0.05; done
kill -STOP "$silent"
until grep -q '"name":"y","connected":[^[]*"state":"silent","age":[0-9]' "$work/looks"; do sleep 0.05; done
kill -CONT "$silent"
kill -INT "$top"
wait "$top"
"$soma" nodes --at="ipc://$work/first" | grep -q "^[0-9a-f]* *nameserver .* name server$"

echo "== one that listens nowhere is not waited for"
"$soma" watch --nameserver="ipc://$work/first" >"$work/watched" &
watch=$!
pids+=("$watch")
until grep -q current "$work/watched"; do sleep 0.05; done
timeout 60 "$soma" nodes --at="ipc://$work/first" --json --timeout=3600 | looked '
states = {node["name"]: (node["state"], node.get("reachable")) for node in looks[-1]}
assert states["watch"] == ("silent", False), states
assert states["x"] == states["y"] == ("up", None), states'
timeout 60 "$soma" nodes --at="ipc://$work/first" --timeout=3600 | grep -q "^[0-9a-f]* *watch  *silent  *it listens nowhere, and can't be asked$"
kill -INT "$watch"
wait "$watch"
"$soma" shutdown --all --server --nameserver="ipc://$work/first"

echo "== ends"
is "" 0 shutdown tank
wait "$hosted" || { cat "$work/host"; exit 1; }
host
hosted=$!
is "" 0 wait tank
is 0 0 get tank litres
is - 0 call tank burst
status=0
wait "$hosted" || status=$?
[ "$status" -eq 1 ]
grep -qx 'soma: tank has ended: it has burst' "$work/host"
host --name=tank/2
hosted=$!
is "" 0 wait tank/2
kill -9 "$hosted"
wait "$hosted" 2>/dev/null || true
host --name=tank/2
hosted=$!
is "" 0 wait tank/2
is 5 0 call tank/2 fill 5
kill "$hosted"
wait "$hosted"
is "soma: $SOMA_AT was not reached in time" 4 kill tank/2 --timeout=0.2

echo "== keys"
public=$("$soma" keygen "$work/node.key")
mine=$("$soma" keygen "$work/my.key")
[ "$(stat -c %a "$work/my.key")" = 600 ]
is "soma: can't make $work/my.key: File exists" 1 keygen "$work/my.key"
is '{"error":{"code":-7,"text":"can'"'t make $work/no/my.key"': No such file or directory"}}' 3 keygen "$work/no/my.key" -j
printf '%s me\n' "$mine" >"$work/allowed"
"$soma" run "$tank" tank --bind="ipc://$work/keys" --secret-file="$work/node.key" --allowed-file="$work/allowed" \
    >"$work/host3" 2>&1 &
hosted=$!
pids+=("$hosted")
SOMA_AT="ipc://$work/keys $public" is "" 0 wait tank --secret-file="$work/my.key"
SOMA_AT="ipc://$work/keys $public" is 7 0 --secret-file="$work/my.key" call tank fill 7
"$soma" keygen "$work/stranger.key" >/dev/null
SOMA_AT="ipc://$work/keys $public" is - 4 ping tank --secret-file="$work/stranger.key" --timeout=0.5
kill "$hosted"
wait "$hosted"

echo "== keys and a name service"
user=$("$soma" keygen "$work/user.key")
printf '%s node\n%s me\n%s user\n' "$public" "$mine" "$user" >"$work/allowed"
unset SOMA_AT
export SOMA_NAMESERVICE="ipc://$work/keyed $public" SOMA_ALLOWED_FILE=$work/allowed
"$soma" nameserver --bind="ipc://$work/keyed" --secret-file="$work/node.key" >"$work/server" 2>&1 &
server=$!
"$soma" run "$tank" tank --name=mine --bind="ipc://$work/keys" --secret-file="$work/my.key" >"$work/host3" 2>&1 &
hosted=$!
"$soma" run "$tank" tank --name=theirs --bind="ipc://$work/theirs" --secret-file="$work/stranger.key" --timeout=0.3 \
    >"$work/theirs.out" 2>&1 &
stranger=$!
pids+=("$server" "$hosted" "$stranger")
is "" 0 wait mine --secret-file="$work/user.key"
is 7 0 --secret-file="$work/user.key" call mine fill 7
is - 4 ls --secret-file="$work/stranger.key" --timeout=0.3
is "soma: --nameserver (SOMA_NAMESERVICE) '$SOMA_NAMESERVICE' is of a node with keys: --secret-file says what this one's is" 2 ls
until grep -q "'theirs' is not registered: no name server was reached yet" "$work/theirs.out"; do sleep 0.1; done
"$soma" ls --json --secret-file="$work/user.key" | python3 -c 'import json, sys
names = [json.loads(line)["name"] for line in sys.stdin]
assert names == ["mine"], names'
kill "$hosted" "$server" "$stranger"
wait "$hosted" "$server" "$stranger"
unset SOMA_NAMESERVICE SOMA_ALLOWED_FILE

echo "== a name service, the last of all to start"
export SOMA_NAMESERVICE=ipc://$work/names
SOMA_AT=ipc://$work/one host --name=one --timeout=0.3
unset SOMA_AT
until grep -q "'one' is not registered: no name server was reached yet; it will be when one is" "$work/host"; do
    sleep 0.1
done
"$soma" wait one --timeout=60 &
waiter=$!
pids+=("$waiter")
"$soma" watch one --timeout=60 --json >"$work/events" &
pids+=($!)
"$soma" nameserver --bind="$SOMA_NAMESERVICE" >"$work/server" 2>&1 &
server=$!
pids+=("$server")
wait "$waiter"
is 7 0 call one fill 7
is 7 0 get one litres
is cellar 0 get one place --nameserver="$SOMA_NAMESERVICE"
is - 4 ping one --nameserver="ipc://$work/nobody" --timeout=0.2
is "soma: no agent is registered as 'two'" 3 ping two
"$soma" ls | grep -q '^one  *[0-9a-f]\{16\}/'
"$soma" ls o --json | python3 -c 'import json, sys; n = json.loads(sys.stdin.read()); assert n["name"] == "one" and n["aliases"] == {}, n'
is "" 0 ls two
is "soma: 'one' has no alias 'levels'" 3 addr one levels
is "soma: no agent is registered as 'zz'" 3 addr zz levels
"$soma" ls >"$work/out"
grep -q ' $' "$work/out" && exit 1
"$soma" ping | grep -q '^the name server has answered in '
"$soma" info | grep -q '^  uptime  *value  *read [0-9.]\{1,9\}  *seconds since it was started$'
"$soma" info --json | python3 -c 'import json, sys
shown = {row["name"]: row["value"] for row in json.load(sys.stdin)["attributes"]}
assert shown["names"] == 1 and shown["uptime"] > 0, shown
assert "soma " + shown["version"] == sys.argv[1], shown' "$("$soma" --version)"
"$soma" nodes --json | python3 -c 'import json, sys
names = sorted(node["name"] for node in json.load(sys.stdin))
assert names == ["nameserver", "one", "watch"], names'
SOMA_AT=ipc://$work/two host --name=two
two=$!
is "" 0 wait two
is 9 0 call two fill 9
"$soma" run "$tank" tank --bind="ipc://$work/three" --name=two >"$work/err" 2>&1 && exit 1
holder=$("$soma" ls two | sed 's/^two  *//')
grep -qx "soma: 'two' is not registered: $holder has the name" "$work/err"
"$soma" nameserver --bind="$SOMA_NAMESERVICE" >"$work/err" 2>&1 && exit 1
grep -q "can't bind '$SOMA_NAMESERVICE': Address already in use" "$work/err"
grep -qx "soma: can't listen at $SOMA_NAMESERVICE: it is in use" "$work/err"
is - 1 --json nameserver --bind="$SOMA_NAMESERVICE" # the log is JSON, too
python3 -c 'import json, sys
lines = [json.loads(line) for line in sys.stdin]
log, errors = [line["log"] for line in lines if "log" in line], [line["error"] for line in lines if "error" in line]
assert log[0]["level"] == "error" and "already in use" in log[0]["text"], lines
assert len(errors) == 1 and "it is in use" in errors[0]["text"], lines' <"$work/err"

echo "== an agent's program is killed and started again"
kill -9 "$two"
wait "$two" 2>/dev/null || true
SOMA_AT=ipc://$work/two host --name=two
until grep -q '^two runs at' "$work/host"; do sleep 0.1; done
is 9 0 call two fill 9

echo "== the name server is killed, and another one comes"
kill -9 "$server"
wait "$server" 2>/dev/null || true
is 10 0 --at="ipc://$work/two" call two fill 1
"$soma" nameserver --bind="$SOMA_NAMESERVICE" >"$work/server" 2>&1 &
server=$!
pids+=("$server")
is "" 0 wait one
is "" 0 wait two
is 8 0 call one fill 1

echo "== one that follows it answers in its place"
follower=ipc://$work/follower
"$soma" nameserver --bind="$follower" --follow="$SOMA_NAMESERVICE" >"$work/follows" 2>&1 &
pids+=("$!")
is "" 0 wait one --nameserver="$follower"
is - 0 ls one --nameserver="$SOMA_NAMESERVICE, $follower"
is 8 0 get one litres --nameserver="$follower,$SOMA_NAMESERVICE"
is "soma: 'more' is not registered: the name server follows another one, which alone takes names; its address is to be \
the first of --nameserver" 1 run "$tank" tank --name=more --bind="ipc://$work/more" --nameserver="$follower"
is "" 0 shutdown one
for event in added current stale removed; do
    until grep -q "\"event\":\"$event\"" "$work/events"; do sleep 0.1; done
done

echo "== a node that is meant, without an agent"
away=ipc://$work/two
is "soma: no name server was reached in time at $away" 4 --at="$away" shutdown --all --timeout=0.2
is "soma: no name server was reached in time at $away" 4 --at="$away" shutdown --server --timeout=0.2
for command in ls ping info watch; do
    SOMA_AT=$away is "soma: no name server was reached in time at $away" 4 "$command" --timeout=0.2
done
is - 0 ping two
is - 0 ping --at="$SOMA_NAMESERVICE"
names=$SOMA_NAMESERVICE
SOMA_NAMESERVICE=$away is - 0 info --at="$names"
SOMA_NAMESERVICE=$away is - 0 ls two --at="$names"
grep -q '^two ' "$work/out"

echo "== who is not asked does not hear of a command, and nothing is said without need"
unset SOMA_LOG_LEVEL
SOMA_AT=ipc://$work/four host --name=four
fourth=$!
export SOMA_LOG_LEVEL=error
is "" 0 wait four --at="ipc://$work/four"
until "$soma" ls | grep -q '^four '; do sleep 0.05; done
is 10 0 call two fill 0
[ "$(cat "$work/host")" = "four runs at ipc://$work/four" ]
links() { "$soma" get soma.node peers --at="ipc://$work/$1" -j; }
links two | grep -q '"name":"call"'
if links four | grep -q '"name":"\(ls\|call\)"'; then
    echo "a command has linked with a node that it did not ask:"
    links four
    exit 1
fi

# shellcheck source=/dev/null
source "$(dirname "$0")/../../tools/soma.bash"
COMP_WORDS=("$soma" --json ping fo) COMP_CWORD=3 COMPREPLY=()
until [ "${COMPREPLY[*]}" = four ]; do _soma; done # it gives up soon, on a busy machine too

echo "== a server that follows"
"$soma" nodes --json | looked 'servers = [node["nameserver"] for node in looks[0] if "nameserver" in node]
assert sorted((each["following"], each["alone"]) for each in servers) == [("", False), ("'"$SOMA_NAMESERVICE"'", False)], servers'
is "$SOMA_NAMESERVICE" 0 get soma.nameserver following --at="$follower"
"$soma" nodes | grep -q "name server, follows $SOMA_NAMESERVICE$"
"$soma" info --nameserver="$follower" | grep -q "^  following .*\"$SOMA_NAMESERVICE\""

echo "== the end of all"
is - 2 shutdown
is - 2 shutdown four --all
is - 2 shutdown four --server
is "" 0 shutdown --all
wait "$fourth"
is "" 0 ls
is - 3 ping four
is false 0 get soma.nameserver alone --at="$follower"
is "" 0 shutdown --server --all
wait "$server"
until [ "$("$soma" get soma.nameserver alone --at="$follower")" = true ]; do sleep 0.05; done
is "soma: no name server was reached in time at $SOMA_NAMESERVICE" 4 ping --timeout=0.2
is "soma: no name server was reached in time at $SOMA_NAMESERVICE" 4 ping one --timeout=0.2
is "soma: no name server was reached in time at $SOMA_NAMESERVICE" 4 shutdown --all --timeout=0.2
unset SOMA_NAMESERVICE

echo "== wrong usage"
is - 3 run "$tank" pond
is - 3 run "$work/nothing.so" tank
is - 1 run "$tank" tank '{"litres":1}'
is - 3 run "$tank" tank '{"nope":1}'
is "soma: '[1]' is no object of attributes" 2 run "$tank" tank '[1]'
is - 2
is - 2 frobnicate
is - 2 call tank
is - 2 ping tank pond
is - 2 ping tank --timeout=soon
SOMA_AT=nowhere is "soma: --at (SOMA_AT) 'nowhere' is no address: tcp://IP:PORT or ipc://PATH" 2 ping tank
is - 2 ping tank --at=tcp://127.0.0.1
beyond="is beyond this machine: that wants keys (--secret-file), or --insecure on a network that you trust"
is "soma: --at (SOMA_AT) 'tcp://10.9.9.9:1' $beyond" 2 ping tank --at=tcp://10.9.9.9:1
is "soma: --nameserver (SOMA_NAMESERVICE) 'tcp://10.9.9.9:1' $beyond" 2 ls --nameserver=tcp://127.0.0.1:1,tcp://10.9.9.9:1
is "soma: --bind 'tcp://0.0.0.0' $beyond" 2 nameserver --bind=tcp://0.0.0.0
is "soma: --follow 'tcp://127.example.org:1' $beyond" 2 nameserver --bind=tcp://127.0.0.1 --follow=tcp://127.example.org:1
is "soma: --follow 'ipc://$work/self' is where this one listens itself: it can't follow itself" 2 \
    nameserver --bind="ipc://$work/self" --follow="ipc://$work/self"
is "soma: --follow 'tcp://127.0.0.1:99999' is no address of a name server" 2 \
    nameserver --bind="ipc://$work/self" --follow=tcp://127.0.0.1:99999
is - 2 ping tank --at="tcp://127.0.0.1:1 ${public}"
is - 2 ping tank --at=tcp://127.0.0.1:1 --secret-file="$work/my.key"
is - 2 top --count=-1
is - 2 top --count=0
is - 2 top --count=4294967296
is - 2 top --count=2x
is "soma: the name of the agent is empty" 2 ping ''
is "soma: the name of the agent 'a b' has other characters than printable ASCII without the space" 2 ping 'a b'
long=$(printf '%0300d' 0)
is "soma: the name of the agent has 300 bytes; at most 255 are allowed" 2 ping "$long"
is - 2 ls "$long"
is "soma: 'x/y' is no alias: 1 to 63 printable ASCII characters without the space and '/'" 2 addr a x/y
is - 2 nameserver --bind=nonsense
is - 2 ls -s nonsense
is - 2 ls -s etcd://nonsense
grep -q "error system: no list of addresses as SOMA_NAMESERVICE has them: 'etcd://nonsense'$" "$work/err"
grep -q "^soma: --nameserver (SOMA_NAMESERVICE) 'etcd://nonsense' is no address of a name service: " "$work/err"
is - 2 ls -s etcd://127.0.0.1:99999
is - 2 --server ping a
is - 2 --every 2 ping a
is - 2 nameserver -n foo
is - 2 run "$tank" tank --at=ipc://nowhere
is - 2 ping a --at=ipc://nowhere --nameserver=ipc://nowhere
usage() { # in JSON
    local text=$1
    shift
    is "{\"error\":{\"code\":-1,\"text\":\"$text\"}}" 2 "$@"
}
usage "'ping' takes: [AGENT]" -j ping a extra
usage "'0' is no time in seconds, above 0" -t 0 ping -j
usage "there is no command 'nope'" -j nope
usage "'shutdown' takes either: AGENT, or --all, --server or both" -j shutdown
usage "an option is unknown, or lacks what it takes" -j ping --frobnicate
usage "the name of the agent is empty" -j ping ''

echo "== a name longer than that of a node"
long=$(printf '%0255d' 0)
SOMA_AT=ipc://$work/long host --name="$long"
hosted=$!
is "" 0 wait "$long" --at="ipc://$work/long"
kill "$hosted"
wait "$hosted"
is - 0 --help
is - 0 -j --help
grep -q "^  nameserver" "$work/out"
"$soma" --version | grep -q '^soma [0-9]'

echo "== completion"
COMP_WORDS=(soma ki)
COMP_CWORD=1
COMPREPLY=()
_soma
[ "${COMPREPLY[*]}" = kill ]
completes() { # WANTED WORD...: what stands there for the last word, as readline splits a line
    local wanted=$1
    shift
    COMP_WORDS=("$@")
    COMP_CWORD=$(($# - 1))
    COMPREPLY=()
    _soma 2>/dev/null
    [ "${COMPREPLY[*]}" = "$wanted" ] || { echo "$*: completed to ${COMPREPLY[*]}, not $wanted"; exit 1; }
}
mkdir "$work/a folder"
completes "$work/a folder" soma --secret-file = "$work/a f"
completes "$work/a folder" soma run "$work/a f"
completes "$work/a folder" soma --json run "$work/a f"
completes "" soma --timeout =
completes "" soma --timeout = 5
completes "$work/a folder" soma keygen "$work/a f"
completes ping soma --timeout = 5 pi
completes "" soma ping pi
for command in $("$soma" --help | sed -n 's/^  \([a-z]\+\) .*/\1/p'); do
    grep -q "[ \"]${command}[ \"]" "$(dirname "$0")/../../tools/soma.bash" || { echo "not completed: $command"; exit 1; }
    grep -q "^\(.BI \|.B \|.BR \|\\\\fB\)$command" "$(dirname "$0")/../../tools/soma.1" || { echo "not in the page: $command"; exit 1; }
done
echo "all of it"
