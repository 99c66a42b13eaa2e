package plan

import (
	"fmt"
	"strconv"
	"strings"
)

// Find returns the index of the stage with a name, in any case, or a number. A
// name that several stages have means the last of them.
func (p *Plan) Find(target string) (int, error) {
	if n, ok := p.FindBefore(target, len(p.Stages)); ok {
		return n, nil
	}
	return 0, fmt.Errorf("no stage %q: %s", target, p.names())
}

// FindBefore is Find among the stages before the one with an index.
func (p *Plan) FindBefore(name string, before int) (index int, ok bool) {
	for i := before - 1; i >= 0; i-- {
		if strings.EqualFold(p.Stages[i].Name, name) && name != "" {
			return i, true
		}
	}
	n, err := strconv.Atoi(name)
	return n, err == nil && n >= 0 && n < before
}

// names lists what Find would find, for messages.
func (p *Plan) names() string {
	var names []string
	for _, s := range p.Stages {
		if s.Name == "" {
			continue
		}
		if len(names) == 20 {
			names = append(names, "others")
			break
		}
		names = append(names, s.Name)
	}
	last := len(p.Stages) - 1
	switch {
	case last == 0 && len(names) == 0:
		return "there is one stage, 0"
	case len(names) == 0:
		return fmt.Sprintf("there are 0 to %d", last)
	}
	return fmt.Sprintf("there are %s, and 0 to %d", strings.Join(names, ", "), last)
}

// Until makes the target the last stage. What comes before it stays, since
// stages are known by number and a FROM may name them through a variable. It is
// for a plan without warnings: what is left out is not to be checked.
func (p *Plan) Until(target string) error {
	n, err := p.Find(target)
	if err != nil {
		return err
	}
	p.Stages = p.Stages[:n+1]
	return nil
}
