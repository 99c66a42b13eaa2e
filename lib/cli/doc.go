// Package cli is what every program of Docksmith has in common with a Unix
// shell: flags and help, standard streams, colour, signals and exit status.
//
// The law it implements, so that a program's main is a declaration:
//
//   - stdout carries data, and is flushed and closed before success is claimed;
//   - stderr carries talk: "NAME: error: ...", "NAME: warning: ...",
//     "NAME: hint: ...", or "FILE:LINE: error: ..." for a fault in a file;
//   - the exit status is 0 done, 1 failed, 2 wrong usage, or what the
//     program's Command says; only [Main] calls os.Exit, after every defer ran;
//   - SIGINT and SIGTERM cancel the context, and are raised again once Run has
//     cleaned up, so that a shell sees the signal; a second one kills at once;
//   - SIGPIPE is left to Go: a write to a closed stdout ends the program.
//
// It is imported by cmd only:
//
//	func main() {
//		cli.Main(&cli.Command{
//			Name: "ds-true", Short: "Do nothing, successfully.",
//			Run: func(context.Context, *cli.IO, []string) error { return nil },
//		})
//	}
package cli
