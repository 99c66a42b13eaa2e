// Package dockerfile reads the Dockerfile language: bytes to typed, located
// instructions, and words to their values.
//
// It accepts what BuildKit's Dockerfile frontend 1.x accepts and refuses,
// with a line, what that frontend refuses at any later moment on static
// grounds, so that a typing error is found before anything is built. It knows
// nothing about images: a base image's environment decides what a word means,
// therefore words stay as they are written until [Expander] gets the
// environment from its caller.
//
// The invariant: every [Instruction] that [Parse] returns satisfies
// [Instruction.Validate], which documents the shape of each.
//
//	f, err := dockerfile.Parse(r, dockerfile.Options{Name: "Dockerfile"})
//	for _, in := range f.Stages[0].Steps {
//		fmt.Println(in.Line, in.Op, in.Args)
//	}
//
// No remote frontend is ever fetched: "# syntax=" is only recorded.
package dockerfile
