# Starts, stops and outlives servers on behalf of a process that talks to it over stdin. When that
# process ends, however it ends, stdin closes: everything still running is stopped, last started
# first, and the folder in $1 is removed if one is given.
#
#   start NAME SIGNAL COMMAND   answers with the process id; SIGNAL is what stops it gracefully
#   halt NAME SIGNAL            sends SIGNAL, waits, answers with the exit status
remove=$1
names=

halt() {
    eval "pid=\${pid_$1:-}"
    [ -n "$pid" ] || return 0
    kill -s "$2" "$pid" 2>/dev/null
    tenths=0
    while kill -0 "$pid" 2>/dev/null; do
        if [ "$tenths" -ge 300 ]; then
            echo "$1 ($pid) still runs after 30 s: killed" >&2
            kill -s KILL "$pid"
            break
        fi
        sleep 0.1
        tenths=$((tenths + 1))
    done
    wait "$pid" 2>/dev/null
    status=$?
    eval "pid_$1="
}

finish() {
    trap '' HUP INT TERM
    for name in $names; do
        eval "signal=\$signal_$name"
        halt "$name" "$signal"
    done
    # Backends of a killed PostgreSQL may still write for a moment.
    attempts=0
    while [ -n "$remove" ] && [ -e "$remove" ] && [ "$attempts" -lt 50 ]; do
        rm -rf "$remove" 2>/dev/null || sleep 0.1
        attempts=$((attempts + 1))
    done
    exit 0
}

trap finish HUP INT TERM
while read -r verb name signal command; do
    case $verb in
    start)
        (eval "$command") &
        eval "pid_$name=$!"
        eval "signal_$name=$signal"
        case " $names " in
        *" $name "*) ;;
        *) names="$name $names" ;;
        esac
        echo "$!"
        ;;
    halt)
        status=0
        halt "$name" "$signal"
        echo "$status"
        ;;
    esac
done
finish
