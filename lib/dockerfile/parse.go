package dockerfile

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"
)

// MaxSize is the size of the largest input that [Parse] takes: it holds the
// whole text in memory, and a line may be as long as that.
const MaxSize = 16 << 20

// Options says how to parse. The zero value is the ordinary dialect.
type Options struct {
	// Name is what messages call the input; "Dockerfile" if empty.
	Name string
	// Strict asks for the dialect of a Docksmithfile: CMD must be a JSON array.
	Strict bool
}

// Parse reads a whole Dockerfile. What is wrong with its text comes as an
// [Error], the first one in the order of the file.
func Parse(r io.Reader, o Options) (*File, error) {
	if o.Name == "" {
		o.Name = "Dockerfile"
	}
	data, err := readText(r, MaxSize+1)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", o.Name, err)
	}
	if len(data) > MaxSize {
		return nil, &Error{o.Name, 1, fmt.Errorf("the file is larger than %d bytes", MaxSize)}
	}
	p := &parser{opt: o, src: newSource(data)}
	if err := p.file(); err != nil {
		return nil, &Error{o.Name, max(p.line, 1), err}
	}
	return &p.out, nil
}

// ParseTrigger reads one instruction as the ONBUILD member of an image
// configuration holds it. Name is for messages, such as the image's.
func ParseTrigger(name, source string) (*Instruction, error) {
	p := &parser{opt: Options{Name: name}, src: newSource(source)}
	in, err := p.trigger()
	if err != nil {
		return nil, &Error{name, max(p.line, 1), err}
	}
	return in, nil
}

// parser turns logical lines into instructions and those into stages.
type parser struct {
	opt  Options
	src  *source
	out  File
	line int // where the current instruction begins

	array        bool // the arguments of the current instruction were a JSON array
	stages       slab[Stage]
	instructions slab[Instruction]
	extras       slab[Extra]
	notes        slab[notes]
	strings      slab[string]
	documents    slab[Heredoc]
	flags        slab[Flag]
	from         Instruction // the current one, where it is to become a stage
	words        []string    // those of the current instruction
	flagWords    []string
	docs         []Heredoc
}

func (p *parser) file() error {
	p.out = File{Name: p.opt.Name, Escape: p.src.escape}
	if strings.HasPrefix(p.src.data, "\xff\xfe") || strings.HasPrefix(p.src.data, "\xfe\xff") {
		return errors.New("the file is UTF-16: save it as UTF-8")
	}
	for {
		in, err := p.next()
		if err == io.EOF {
			break
		}
		if err == nil {
			err = p.place(in)
		}
		if err != nil {
			return err
		}
	}
	p.out.Escape, p.out.Syntax, p.out.Check = p.src.escape, p.src.found["syntax"], p.src.found["check"]
	// The value may end in parameters for a frontend that is not fetched.
	p.out.Syntax, _, _ = strings.Cut(p.out.Syntax, " ")
	switch {
	case len(p.out.Stages) > 0:
		return nil
	case len(p.out.Args) > 0:
		return errors.New("no build stage: there is no FROM")
	}
	p.line = 1
	return errors.New("no instructions in the file")
}

// place puts an instruction where it belongs.
func (p *parser) place(in *Instruction) error {
	n := len(p.out.Stages)
	switch {
	case in.Op == From:
		p.out.Stages = append(foresee(p.out.Stages, p.src.pos, len(p.src.data)), p.stage(n, in))
	case n > 0:
		stage := p.out.Stages[n-1]
		stage.Steps = append(foresee(stage.Steps, p.src.pos, len(p.src.data)), in)
	case in.Op == Arg:
		p.out.Args = append(foresee(p.out.Args, p.src.pos, len(p.src.data)), in)
	default:
		return fmt.Errorf("no build stage: %s before the first FROM", in.Op)
	}
	return nil
}

func (p *parser) stage(index int, in *Instruction) *Stage {
	s := p.stages.one()
	*s = Stage{Index: index, From: in.Args[0], Line: in.Line, EndLine: in.EndLine, Text: in.Text}
	if len(in.Args) == 3 {
		s.Name = strings.ToLower(in.Args[2])
	}
	s.Platform, _ = in.Flag("platform")
	s.notes = in.extra().notes
	return s
}

// extra makes room for what few instructions have.
func (p *parser) extra(in *Instruction) *Extra {
	if in.Extra == nil {
		in.Extra = p.extras.one()
	}
	return in.Extra
}

func (p *parser) trigger() (*Instruction, error) {
	in, err := p.next()
	switch {
	case err == io.EOF:
		return nil, errors.New("no instruction")
	case err != nil:
		return nil, err
	case slices.Contains(notTriggers, in.Op):
		return nil, fmt.Errorf("%s cannot be a trigger of ONBUILD", in.Op)
	}
	if _, err := p.next(); err != io.EOF {
		return nil, errors.New("more than one instruction")
	}
	return in, nil
}

// next reads one instruction with its here-documents; io.EOF after the last.
func (p *parser) next() (*Instruction, error) {
	text, start, err := p.src.logical()
	p.line = start
	if err != nil {
		return nil, err
	}
	if p.src.foul {
		if err := checkText(text); err != nil {
			return nil, err
		}
	}
	in, err := p.instruction(trimSpace(text))
	if err != nil {
		return nil, err
	}
	if err := p.heredocs(in, text); err != nil {
		return nil, err
	}
	in.Line, in.EndLine = start, p.src.line
	if n := p.src.notes.of(in.Op); n != (notes{}) {
		kept := p.notes.one()
		*kept, p.extra(in).notes = n, kept
	}
	if t := in.Trigger(); t != nil {
		t.Line, t.EndLine = in.Line, in.EndLine
	}
	return in, in.Validate(p.src.escape)
}

// checkText refuses what neither a plan nor a process's arguments can carry.
func checkText(text string) error {
	switch {
	case !utf8.ValidString(text):
		return errors.New("the text is not valid UTF-8")
	case strings.IndexByte(text, 0) >= 0:
		return errors.New("the text has a NUL byte")
	}
	return nil
}

// instruction reads the text of one, without its here-documents.
func (p *parser) instruction(text string) (*Instruction, error) {
	if text == "" {
		return nil, errors.New("a line continuation without an instruction")
	}
	word, words, rest := splitCommand(p.flagWords[:0], text, p.src.escape)
	p.flagWords = words
	op := opNamed(word)
	if op == 0 {
		return nil, unknownOp(word)
	}
	in := &p.from
	if op != From {
		in = p.instructions.one()
	}
	*in = Instruction{Op: op, Text: text}
	if err := p.parseFlags(in, words); err != nil {
		return nil, err
	}
	if in.Op == Onbuild {
		return in, p.onbuild(in, rest)
	}
	if err := p.arguments(in, rest); err != nil {
		return nil, err
	}
	if p.opt.Strict && in.Op == Cmd && in.Form != FormExec {
		return nil, fmt.Errorf("CMD must be a JSON array here: %s", execForm(in.Args[0]))
	}
	return in, nil
}

func (p *parser) onbuild(in *Instruction, rest string) error {
	if rest == "" {
		return errors.New("ONBUILD needs an instruction")
	}
	word, _, _ := strings.Cut(rest, " ")
	if op := opNamed(strings.TrimSpace(firstField(word))); slices.Contains(notTriggers, op) {
		return fmt.Errorf("%s cannot be a trigger of ONBUILD", op)
	}
	trigger, err := p.instruction(rest)
	p.extra(in).Trigger = trigger
	p.src.notes.oldForm = false // of the trigger: it counts where that runs
	return err
}

// execForm shows a shell-form command as the JSON array that does the same.
func execForm(command string) string {
	if len(command) > 200 {
		command = "..."
	}
	return `CMD ["/bin/sh","-c",` + jsonString(command) + "]"
}
