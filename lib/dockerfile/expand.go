package dockerfile

import (
	"errors"
	"fmt"
	"strings"
)

// Lookup answers what a name stands for; ok is false for a name that is not set,
// which is not the same as one that is set to nothing.
type Lookup func(name string) (value string, ok bool)

// Expander turns words as they are written into what they mean: it replaces
// $NAME, ${NAME} and its modifiers, takes quotes and escapes away, and never
// executes anything. The modifiers are those of BuildKit:
//
//	${x:-word} ${x-word}     word where x is empty or unset; only where it is unset
//	${x:+word} ${x+word}     word where x is neither; where it is set
//	${x:?word} ${x?word}     an error that says word; only where it is unset
//	${x#pat} ${x##pat}       without the shortest, longest match of pat in front
//	${x%pat} ${x%%pat}       the same at the end
//	${x/pat/word} ${x//pat/word}   the first, or every, match of pat replaced
//
// In a pattern "*" stands for any text, "?" for one character. Words nest.
// Single quotes stop expansion. A name that is not set gives "".
//
// The zero value uses the backslash. It is safe for concurrent use.
type Expander struct {
	// Escape is File.Escape; 0 means '\\'.
	Escape byte
}

// Expansion is what a word means.
type Expansion struct {
	// Value is the word as one string.
	Value string
	// Words is filled by [Expander.Words] alone.
	Words []string
	// Used are the names that were set and had a say in Value, Undefined those
	// that were asked for in vain, where the word does not provide for it (as
	// ${x:-word} and ${x+word} do); each once, in the order of the text.
	Used, Undefined []string
}

const (
	maxDepth       = 100     // of nested ${}
	maxSubstituted = 4 << 20 // bytes that variables may put into one word
)

var (
	errTooDeep  = fmt.Errorf("more than %d substitutions inside each other", maxDepth)
	errTooLarge = fmt.Errorf("variables expand to more than %d bytes", maxSubstituted)
	errNoBrace  = errors.New("missing '}'")
	errBadSubst = errors.New("bad substitution")
)

// Word expands word to one string; blanks in it and in values stay.
func (x Expander) Word(word string, env Lookup) (Expansion, error) {
	return x.expand(word, env, lexMode{quotes: true})
}

// Words expands word and splits the result at blanks, those of values
// included, but not at quoted or escaped ones. Empty words vanish.
func (x Expander) Words(word string, env Lookup) (Expansion, error) {
	return x.expand(word, env, lexMode{quotes: true, split: true})
}

// Text expands the text of a here-document that COPY or ADD makes a file of:
// quotes are ordinary characters, and the escape character is always the
// backslash, as the shell has it.
func (x Expander) Text(text string, env Lookup) (Expansion, error) {
	return Expander{}.expand(text, env, lexMode{})
}

// Check finds the faults of word that do not depend on what the names mean.
func (x Expander) Check(word string) error {
	if literal(word) {
		return nil
	}
	l := newLexer(word, x.Escape, nil, lexMode{quotes: true})
	l.idle = 1
	_, _, err := l.until(0, false, false)
	return x.wrap(word, err)
}

// literal tells a word that means itself, whatever the escape character.
func literal(word string) bool {
	for i := 0; i < len(word); i++ {
		switch word[i] {
		case '$', '\'', '"', '`', '\\':
			return false
		}
	}
	return true
}

func (x Expander) expand(word string, env Lookup, mode lexMode) (Expansion, error) {
	if !mode.split && literal(word) {
		return Expansion{Value: word}, nil
	}
	l := newLexer(word, x.Escape, env, mode)
	value, words, err := l.until(0, false, false)
	if err != nil {
		return Expansion{}, x.wrap(word, err)
	}
	return Expansion{Value: value, Words: words, Used: l.used.list, Undefined: l.undefined.list}, nil
}

func (x Expander) wrap(word string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("expand %s: %w", quoted(word), err)
}

// get looks a name up and notes that it was asked for; provided says that the
// word has an answer for a name that is not set.
func (l *lexer) get(name string, provided bool) (value string, set bool, err error) {
	if l.env != nil {
		value, set = l.env(name)
	}
	switch {
	case l.idle > 0:
		return value, set, nil
	case l.mode.skim && set: // nobody wants to know
		return value, set, l.spend(len(value))
	}
	if set {
		l.used.add(name)
	} else if !provided {
		l.undefined.add(name)
	}
	return value, set, l.spend(len(value))
}

// spend counts what variables add to the word.
func (l *lexer) spend(n int) error {
	if l.left -= n; l.left < 0 {
		return errTooLarge
	}
	return nil
}

// dollar reads a substitution; the position is on its "$".
func (l *lexer) dollar() (string, error) {
	l.pos++
	if l.peek() != '{' {
		name := l.name()
		if name == "" {
			return "$", nil
		}
		value, set, err := l.get(name, false)
		if !set && l.mode.keepUnset {
			return "$" + name, nil
		}
		return value, err
	}
	l.pos++
	if l.pos == len(l.src) {
		return "", errNoBrace
	}
	switch l.peek() {
	case '{', '}', ':':
		return "", errBadSubst
	}
	if l.depth++; l.depth > maxDepth {
		return "", errTooDeep
	}
	value, err := l.braces(l.name())
	l.depth--
	return value, err
}

// braces reads what follows the name in ${name...}.
func (l *lexer) braces(name string) (string, error) {
	if l.pos == len(l.src) {
		return "", errNoBrace
	}
	value, set, err := l.get(name, strings.IndexByte(":-+?", l.peek()) >= 0)
	if err != nil {
		return "", err
	}
	op := l.next()
	switch op {
	case '}':
		if !set && l.mode.keepUnset {
			return "${" + name + "}", nil
		}
		return value, nil
	case ':':
		if l.pos == len(l.src) {
			return "", errNoBrace
		}
		op = l.next()
		if op != '-' && op != '+' && op != '?' {
			return "", unsupported(":" + string(op))
		}
		return l.choose(name, value, set, ":", op)
	case '-', '+', '?':
		return l.choose(name, value, set, "", op)
	case '#', '%':
		return l.trim(name, value, set, op)
	case '/':
		return l.replace(name, value, set)
	}
	return "", unsupported(string(op))
}

func unsupported(modifier string) error {
	return fmt.Errorf("unsupported modifier %q in a substitution", modifier)
}

// choose is ${name-word}, ${name+word} and ${name?word}, where a colon makes
// an empty value count as none. The word that is not chosen is read, but what
// it asks for does not matter.
func (l *lexer) choose(name, value string, set bool, colon string, op rune) (string, error) {
	have := set && (colon == "" || value != "")
	unwanted := have == (op != '+')
	if unwanted {
		l.idle++
	}
	word, _, err := l.until('}', false, false)
	if unwanted {
		l.idle--
	}
	if err != nil {
		return "", err
	}
	if !set && l.mode.keepUnset {
		return "${" + name + colon + string(op) + word + "}", nil
	}
	switch {
	case op == '+' && have, op == '-' && !have:
		return word, nil
	case op == '+':
		return "", nil
	case op == '?' && !have && l.idle == 0:
		return "", missing(name, word, set)
	}
	return value, nil
}

// unapplied tells that the value does not matter, or is only skimmed: patterns
// are dear then.
func (l *lexer) unapplied() bool {
	l.vague = l.vague || l.mode.skim
	return l.mode.skim || l.idle > 0
}

// skimmed is how much variables may add to a word that is skimmed.
const skimmed = 512

// skim finds the names that word asks for in vain and, unless that would be
// dear, its value: its cost is that of reading word once. Errors are not told:
// a word that has one has no value.
func (x Expander) skim(word string, env Lookup, mode lexMode) (value string, undefined []string, whole bool) {
	mode.skim = true
	l := newLexer(word, x.Escape, env, mode)
	l.left = skimmed
	value, _, err := l.until(0, false, false)
	if err == nil {
		return value, l.undefined.list, !l.vague
	}
	// Once more with values of at most one byte: for the names after it.
	l = newLexer(word, x.Escape, func(name string) (string, bool) {
		v, set := env(name)
		return v[:min(1, len(v))], set
	}, mode)
	_, _, _ = l.until(0, false, false)
	return "", l.undefined.list, false
}

// missing is the error of ${name?word}.
func missing(name, word string, set bool) error {
	switch {
	case word != "":
		return fmt.Errorf("%s: %s", short(name), printable(word))
	case set:
		return fmt.Errorf("%s: is empty", short(name))
	}
	return fmt.Errorf("%s: is not set", short(name))
}

// trim is ${name#pattern}, ${name##pattern}, ${name%pattern} and ${name%%pattern}.
func (l *lexer) trim(name, value string, set bool, op rune) (string, error) {
	pattern, _, err := l.until('}', true, true)
	if err != nil {
		return "", err
	}
	if !set && l.mode.keepUnset {
		return "${" + name + string(op) + pattern + "}", nil
	}
	longest := pattern != "" && rune(pattern[0]) == op
	if longest {
		pattern = pattern[1:]
	}
	p, err := l.pattern(pattern)
	if err != nil || l.unapplied() {
		return value, err
	}
	if op == '#' {
		return p.trimPrefix(value, longest), nil
	}
	return p.trimSuffix(value, longest), nil
}

// replace is ${name/pattern/word} and ${name//pattern/word}.
func (l *lexer) replace(name, value string, set bool) (string, error) {
	all := l.peek() == '/'
	if all {
		l.pos++
	}
	pattern, _, err := l.until('/', true, true)
	if err != nil {
		return "", err
	}
	word, _, err := l.until('}', true, false)
	if err != nil {
		return "", err
	}
	if !set && l.mode.keepUnset {
		return "${" + name + "/" + pattern + "/" + word + "}", nil
	}
	p, err := l.pattern(pattern)
	if err != nil || l.unapplied() {
		return value, err
	}
	return p.replace(value, word, all, l.spend)
}
