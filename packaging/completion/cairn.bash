# Completion for bash: subcommands and options are taken from what `cairn … --help` prints, so they are those of the command.
_cairn() {
  local current=${COMP_WORDS[COMP_CWORD]} words=() word help
  for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    [[ $word =~ ^[a-z][a-z-]*$ && ${#words[@]} -lt 2 ]] || break
    words+=("$word")
  done
  help=$("${COMP_WORDS[0]}" "${words[@]}" --help 2>/dev/null)
  if [[ $current == -* ]]; then
    mapfile -t COMPREPLY < <(compgen -W "$(grep -oE -- '--[a-z][a-z-]*' <<<"$help" | sort -u)" -- "$current")
  else
    mapfile -t COMPREPLY < <(compgen -W "$(sed -n '/^Subcommands:/,$ s/^  \([a-z][a-z-]*\) .*/\1/p' <<<"$help")" -- "$current")
    [ ${#COMPREPLY[@]} != 0 ] || mapfile -t COMPREPLY < <(compgen -f -- "$current")
  fi
}
complete -o filenames -F _cairn cairn
