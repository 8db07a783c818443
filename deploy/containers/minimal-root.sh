#!/bin/sh
# minimal-root.sh ROOT FOLDER...
# Makes ROOT a root file system that runs Python programs and can do nothing else: the interpreter with its
# standard library, the FOLDERs, and the shared libraries that these load. No shell, pip or package manager.
set -eu
root=$1
shift
owner=10001:10001
python=$(dirname "$(readlink -f "$(command -v python3)")")
library=$(python3 -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')

mkdir -p "$root/etc" "$root/tmp" "$root/var/lib/pixelprobe" "$root/srv/triton" "$root/run/store" \
    "$root/run/grafana" "$root/etc/pixelprobe"
chmod 1777 "$root/tmp"
# Volumes take over the owner of the folder that they are mounted on.
chown "$owner" "$root/var/lib/pixelprobe" "$root/srv/triton" "$root/run/store" "$root/run/grafana" \
    "$root/etc/pixelprobe"
echo "pixelprobe:x:$owner::/var/lib/pixelprobe:/nonexistent" >"$root/etc/passwd"
echo "pixelprobe:x:${owner#*:}:" >"$root/etc/group"

cp -a --parents "$python"/python* "$library" "$@" "$root"
for part in config-* ensurepip idlelib lib2to3 test tkinter turtledemo dist-packages site-packages; do
    rm -rf "$root$library"/$part
done
python3 -m compileall -q -s "$root" "$root$library" # else every health check compiles what it imports

# What names resolve by, whom TLS trusts, which system this is.
for file in /etc/ld.so.cache /etc/nsswitch.conf /etc/os-release /usr/lib/os-release \
    /etc/ssl /usr/lib/ssl /usr/share/ca-certificates; do
    cp -a --parents "$file" "$root"
done
rm -rf "$root/etc/ssl/private"

# The shared libraries, each at the path where the loader found it.
{
    ldd "$python/python3"
    find "$root$library" "$@" -type f -name '*.so*' -exec ldd {} + 2>/dev/null
} | awk '$2 == "=>" && $3 ~ /^\// { print $3 } $1 ~ /^\/.*ld-linux/ { print $1 }' | sort -u |
    while read -r file; do
        [ -e "$root$file" ] || cp -L --parents "$file" "$root"
    done
