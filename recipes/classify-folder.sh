#!/usr/bin/env bash
# Classify every experiment below a folder, one table for each file, and go on after failures.
#
#   recipes/classify-folder.sh EXPERIMENTS RESULTS [options of spt-explain classify …]
#
# EXPERIMENTS/day1/cell3/tracks.xml → RESULTS/day1/cell3/tracks.verdicts.csv, and so on. Folders
# that were done before are done again only with --overwrite. Leaves with 3 if some files failed.
set -u
if [ $# -lt 2 ]; then
    echo "usage: $0 EXPERIMENTS RESULTS [options of spt-explain classify]" >&2
    exit 2
fi
experiments=${1%/} results=${2%/}
shift 2
[ -d "$experiments" ] || { echo "$0: no folder $experiments" >&2; exit 2; }
code=0
while IFS= read -r -d '' folder; do
    files=()
    while IFS= read -r -d '' file; do files+=("$file"); done < <(
        find "$folder" -maxdepth 1 -type f ! -name '.*' ! -name '*.verdicts.*' \
            \( -iname '*.csv' -o -iname '*.tsv' -o -iname '*.txt' -o -iname '*.xml' \
               -o -iname '*.mdf' -o -iname '*.gz' \) -print0 | sort -z)
    [ ${#files[@]} -gt 0 ] || continue
    target=$results${folder#"$experiments"}
    mkdir -p "$target"
    spt-explain classify "${files[@]}" -o "$target/" "$@" || code=3
done < <(find "$experiments" -type d -print0 | sort -z)
exit $code
