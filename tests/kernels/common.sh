# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=sh
#
# common.sh - what the kernel-building scripts share; sourced, not run
#
# Everything costly lives under $cache, outside the checkout, in folders named
# after what went into them, so that a change of a recipe builds a new one and
# an old one can be deleted at any time. A folder appears under its final name
# only when it is complete.

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
top=$(CDPATH='' cd -- "$here/../.." && pwd)
cache=${SRLOCK_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/srlock}
mkdir -p "$cache"

say()
{
	echo "$*" >&2
}

die()
{
	say "${0##*/}: $*"
	exit 1
}

need()
{
	"$top/tests/setup/need" "$@" || exit 1
}

# key_of RECIPE FRAGMENT... - a short key for a recipe's number, raised when the
# script builds something else than before, and for the options it builds with
key_of()
{
	key_recipe=$1
	shift
	{
		echo "$key_recipe"
		cat -- "$@" | grep -E '^(# )?CONFIG_'
	} | sha256sum | cut -c 1-12
}

# one_at_a_time NAME - two runs that need the same folder build it once
one_at_a_time()
{
	exec 9>"$cache/.$1.lock"
	flock 9
}

# source_tree VERSION - unpack Debian's kernel source once, print its folder
source_tree()
{
	need "linux-source-$1" xz-utils
	tree_version=$(dpkg-query -W -f '${Version}' "linux-source-$1")
	tree=$cache/source-$tree_version
	(
		one_at_a_time "source-$1"
		[ ! -d "$tree" ] || exit 0
		say "unpacking linux-source-$1 $tree_version"
		rm -rf "$tree".tmp.*
		mkdir "$tree.tmp.$$"
		nice tar -C "$tree.tmp.$$" --strip-components=1 \
			-xf "/usr/src/linux-source-$1.tar.xz"
		mv "$tree.tmp.$$" "$tree"
	) || exit 1
	echo "$tree"
}

# configure TREE BUILD ARCH FRAGMENT... - tinyconfig plus fragments, of which the
# last to name an option wins; fails when one did not stick, as a dropped option
# silently tests less than it says
configure()
{
	conf_tree=$1 conf_build=$2 conf_arch=$3
	shift 3
	make -s -C "$conf_tree" O="$conf_build" ARCH="$conf_arch" tinyconfig \
		>/dev/null
	(cd "$conf_build" &&
	 ARCH=$conf_arch "$conf_tree/scripts/kconfig/merge_config.sh" -m \
		.config "$@" >/dev/null)
	# that a fragment picks another member of a choice is no news
	make -s -C "$conf_tree" O="$conf_build" ARCH="$conf_arch" olddefconfig \
		2>&1 | grep -v 'changes choice state$' >&2 || :
	dropped=$(cat -- "$@" | awk -F '[= ]' '
			/^CONFIG_/ { last[$1] = $0 }
			/^# CONFIG_/ { last[$2] = $0 }
			END { for (option in last) print last[option] }' |
		while read -r want; do
			case $want in
			*=*) grep -qxF -- "$want" "$conf_build/.config" ;;
			*)
				option=${want#\# }
				! grep -q "^${option%% *}=" "$conf_build/.config"
				;;
			esac || echo "$want"
		done)
	[ -z "$dropped" ] || die "the kernel configuration dropped:
$dropped"
}
