# shellcheck shell=bash
#
# Debian packages from a suite that this machine does not use.
#
# Sourced, not run. The suite is taken from the mirror that the machine
# already uses, by a source list, package lists and caches under build/, so
# that the system's own are left alone. No root is needed.
#
# SPDX-License-Identifier: GPL-2.0-or-later

apt_dir=$PWD/build/apt

# Each enabled binary source of the system as "URI SUITE SIGNED-BY",
# for the component main.
apt_system_sources() {
    local file files=()
    for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.{list,sources}; do
        [ ! -r "$file" ] || files+=("$file")
    done
    [ ${#files[@]} -eq 0 ] || awk '
        function words(name, out) { return split(field[name], out, " ") }
        function flush(    i, j, u, s, n, m) {
            n = words("uris", u)
            m = words("suites", s)
            if (field["enabled"] !~ /^ *(no|false|0)/ &&
                field["types"] ~ /(^| )deb( |$)/ &&
                field["components"] ~ /(^| )main( |$)/)
                for (i = 1; i <= n; i++)
                    for (j = 1; j <= m; j++)
                        print u[i], s[j], key()
            split("", field)
        }
        # a key inside the file, not a path, is of no use to another list
        function key(    k) {
            return words("signed-by", k) && k[1] ~ /^\// ? k[1] : ""
        }
        function one_line(line,    options, w) {
            field["types"] = "deb"
            sub(/^ *deb +/, "", line)
            if (match(line, /^\[[^]]*\] */)) {
                options = substr(line, 2, RLENGTH - 1)
                line = substr(line, RLENGTH + 1)
                if (match(options, /signed-by=[^] ]*/))
                    field["signed-by"] = substr(options, RSTART + 10, RLENGTH - 10)
            }
            split(line, w, " ")
            field["uris"] = w[1]
            field["suites"] = w[2]
            sub(/^[^ ]+ +[^ ]+/, "", line)
            field["components"] = line
            flush()
        }
        FNR == 1 { flush() }
        { gsub(/\t/, " ") }
        /^ *#/ { next }
        FILENAME ~ /\.list$/ { if (/^ *deb /) one_line($0); next }
        /^ *$/ { flush(); next }
        /^ / { field[name] = field[name] $0; next }
        { name = tolower(substr($0, 1, index($0, ":") - 1))
          field[name] = substr($0, index($0, ":") + 1) }
        END { flush() }' "${files[@]}"
}

# Debian release names and their aliases, and nothing like "trixie-updates"
apt_release_pattern() {
    local codename
    codename=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
    echo "(${codename:-stable}|oldstable|stable|testing|unstable|sid)"
}

# The machine's Debian archive, or its security archive, as "URI SIGNED-BY"
apt_mirror() {
    local pattern
    case $1 in
    archive)  pattern="debian(\.list)?/? $(apt_release_pattern) " ;;
    security) pattern="/?[^ ]* [^ ]*(-security|/updates) " ;;
    esac
    apt_system_sources |
        awk -v pattern="$pattern" '$0 " " ~ pattern { print $1, $3; exit }'
}

# apt_source TYPE SUITE: a line of an apt source list
apt_source() {
    local uri key mirror=archive
    [[ $2 != *-security ]] || mirror=security
    read -r uri key < <(apt_mirror "$mirror") || return 1
    echo "$1 ${key:+[signed-by=$key] }$uri $2 main"
}

# apt_own COMMAND...: an apt command on our lists instead of the system's
apt_own() {
    "$1" -o Dir::Etc::sourcelist="$apt_dir/sources.list" \
         -o Dir::Etc::sourceparts=/dev/null \
         -o Dir::State::lists="$apt_dir/lists" \
         -o Dir::Cache="$apt_dir/cache" \
         -o APT::Sandbox::User=root -qq "${@:2}"
}

# apt_use TYPE SUITE...: fetch the lists of packages of these suites
apt_use() {
    local suite type=$1
    mkdir -p "$apt_dir"/{lists,cache/archives}/partial
    : > "$apt_dir/sources.list"
    for suite in "${@:2}"; do
        apt_source "$type" "$suite" >> "$apt_dir/sources.list" || {
            [[ $suite == *-security ]] && continue
            return 1
        }
    done
    # It succeeds even if nothing could be fetched
    apt_own apt-get update && compgen -G "$apt_dir/lists/*_dists_*" > /dev/null
}
