# How benchmarks compute and print their figures; sourced.  `missed` is 1 when a figure was missed, $width is that of
# the names' column.
missed=0

# The median of the numbers on standard input.
median() {
	sort -g | awk '
		{ v[NR] = $1 }
		END {
			if (NR == 0) exit 1
			print (v[int((NR + 1) / 2)] + v[int(NR / 2) + 1]) / 2
		}'
}

# row NAME VALUE FORMAT [RELATION LIMIT]: prints a figure; RELATION is <= or >=, and one without is only shown.
row() {
	local name=$1 value=$2 relation=${4:-} limit=${5:-} verdict=ok figure
	case $relation in
	'<=') awk "BEGIN { exit !($value <= $limit) }" || verdict=MISSED ;;
	'>=') awk "BEGIN { exit !($value >= $limit) }" || verdict=MISSED ;;
	'') verdict=- ;;
	esac
	[ "$verdict" != MISSED ] || missed=1
	# shellcheck disable=SC2059
	printf -v figure "$3" "$value"
	printf "%-${width}s %12s  %-14s %s\n" "$name" "$figure" "${relation:+$relation $limit}" "$verdict"
}

# failed NAME: a measurement that could not be taken counts as missed.
failed() {
	missed=1
	printf "%-${width}s %12s  %-14s %s\n" "$1" - - MISSED
	tail -n 5 "$work/errors" | sed 's/^/    /'
}
