package cli

import (
	"os"

	"github.com/fatih/color"
)

// Color decides whether stderr carries colour, and sets fatih/color to that.
// The order is: the flag ("always", "never"; "auto" and "" decide nothing),
// NO_COLOR, then CLICOLOR_FORCE or FORCE_COLOR, then CLICOLOR=0, then whether
// stderr is a terminal that can. A variable counts when it is not empty.
func (s *IO) Color(flag string) bool {
	on := wantColor(flag, os.Getenv, Interactive(s.Stderr))
	color.NoColor = !on
	return on
}

// ColorOutput is Color for what goes to standard output.
func (s *IO) ColorOutput(flag string) bool {
	return wantColor(flag, os.Getenv, Interactive(s.Stdout.file))
}

// Interactive tells whether f is a terminal on which lines may be redrawn.
func Interactive(f *os.File) bool {
	t := os.Getenv("TERM")
	return t != "" && t != "dumb" && isTerminal(f)
}

func wantColor(flag string, getenv func(string) string, interactive bool) bool {
	switch {
	case flag == "always":
		return true
	case flag == "never", getenv("NO_COLOR") != "":
		return false
	case getenv("CLICOLOR_FORCE") != "", getenv("FORCE_COLOR") != "":
		return true
	case getenv("CLICOLOR") == "0":
		return false
	}
	return interactive
}
