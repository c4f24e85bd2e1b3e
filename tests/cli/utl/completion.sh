#!/bin/bash
# What bash offers with the script of "etcdutl completion bash".
#
# usage: completion.sh ETCDUTL
set -e
etcdutl=$(readlink -f "$1")
source <("$etcdutl" completion bash)
cd "$(mktemp -d)"
trap 'rm -rf "$PWD"' EXIT
mkdir data.d
touch file.db
failed=0

offers() { # want, words: the last is the one being typed
	local want=$1
	COMP_WORDS=("$etcdutl" "${@:2}")
	COMP_CWORD=$(($# - 1))
	COMP_LINE="${COMP_WORDS[*]}"
	_etcdutl_complete
	[ "${COMPREPLY[*]}" = "$want" ] && return
	echo "etcdutl ${*:2}: offers '${COMPREPLY[*]}', not '$want'"
	failed=1
}

offers "snapshot" sn
offers "restore status" snapshot ""
offers "status" snap st
offers "--rev" hashkv --r
offers "--rev --timeout -w -h" hashkv -
offers "fields json protobuf simple table" snapshot status -w ""
offers "--write-out=json" --write-out=j
offers "data.d" defrag --data-dir ""
offers "data.d" check ""
offers "data.d file.db" snapshot status ""
offers "zsh" completion z
offers "" version ""
for shell in zsh fish powershell; do
	"$etcdutl" completion $shell | grep -q "__complete" || { echo "no script for $shell"; failed=1; }
done
exit $failed
