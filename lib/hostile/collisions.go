package hostile

// collisions are names that a file system, or a program that remembers names,
// may take for the same. Each is a file of its own, or none of them is there.
func collisions() []Fixture {
	var list []Fixture
	for name, pair := range map[string][2]string{
		"case":           {"Readme", "readme"},
		"unicode":        {"caf\u00e9", "cafe\u0301"},
		"trailing-dot":   {"name.", "name"},
		"trailing-space": {"name ", "name"},
		"reserved":       {"aux.txt", "aux"},
		"ignorable":      {"x\u200cy", "xy"},
		"stream":         {"f:x", "f"},
	} {
		f := fixed(13, "collision/"+name, file(pair[0], pair[0]), file(pair[1], pair[1]))
		f.judge = func(p places, t *trial) string {
			for _, name := range pair {
				if got := content(p, name); t.status == 0 && got != name {
					return "one file took the place of another, or a name was changed"
				}
			}
			return ""
		}
		list = append(list, f)
	}
	return list
}
