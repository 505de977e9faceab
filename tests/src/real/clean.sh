# Removes everything of a site, or of one of its clusters: $1 is the name, $2 the folder (of the run, or the cluster).
# Whatever is gone already is skipped, so this may run twice, or after half a start.
#
# Only what carries the name is touched. With a third argument the site's owner is dead, or so it is said: then nothing
# happens unless the link still carries the run's folder and nobody holds the lock of that run.
set -u
name=$1 folder=$2
case $name in mct[0-9]*) ;; *) echo "not a name of the testbed: $name" >&2; exit 2 ;; esac

if [ $# -ge 3 ]; then
    # Another program may take the name once the link is gone: one at a time.
    exec 9>/run/lock/multicluster-testbed.lock
    flock 9
    alias=$(cat "/sys/class/net/$name/ifalias" 2>/dev/null) || exit 0
    [ "$alias" = "$folder" ] || exit 0
    if [ -e "$folder/lock" ]; then flock -n "$folder/lock" true || exit 0; fi
fi

namespaces() { ls /run/netns 2>/dev/null | while read -r each; do
    case $each in "$name" | "$name".*) echo "$each" ;; esac
done; }
groups() { find /sys/fs/cgroup -maxdepth 2 -type d \( -name "$name" -o -name "$name.*" \) 2>/dev/null; }
# Programs and shims are in the namespaces, containers in the control groups.
processes() {
    for each in $(namespaces); do ip netns pids "$each" 2>/dev/null; done
    for each in $(groups); do find "$each" -name cgroup.procs -exec cat {} + 2>/dev/null; done
}

# All at once: what is ended by itself is started again by another.
tenths=0
while pids=$(processes | sort -un) && [ -n "$pids" ] && [ $tenths -lt 200 ]; do
    for pid in $pids; do kill -KILL "$pid" 2>/dev/null; done
    sleep 0.1
    tenths=$((tenths + 1))
done

# The mounts went with the processes' mount namespace; these are others'.
case $folder in
    /?*) awk -v folder="$folder/" 'index($5, folder) == 1 { print $5 }' /proc/self/mountinfo | sort -r |
        while read -r mount; do umount "$mount" 2>/dev/null || umount --lazy "$mount"; done ;;
esac
# A group can still be busy with the end of its last process.
tenths=0
while [ -n "$(groups)" ] && [ $tenths -lt 50 ]; do
    for each in $(groups); do find "$each" -depth -type d -exec rmdir {} + 2>/dev/null; done
    [ -z "$(groups)" ] || sleep 0.1
    tenths=$((tenths + 1))
done
for each in $(namespaces); do ip netns delete "$each"; done
# The link is last: it says whose all this is.
if [ -e "/sys/class/net/$name" ]; then ip link delete "$name"; fi
left=$(processes; groups; namespaces)
[ -z "$left" ] || { echo "cannot remove all of $name:" $left >&2; exit 1; }
