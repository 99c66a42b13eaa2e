# box LINE...: print the lines in a frame. A library that the app brings along.
box() {
	width=0
	for line; do [ "${#line}" -le "$width" ] || width=${#line}; done
	rule=$(printf '%*s' "$((width + 2))" '' | tr ' ' '-')
	printf '+%s+\n' "$rule"
	for line; do printf '| %-*s |\n' "$width" "$line"; done
	printf '+%s+\n' "$rule"
}
