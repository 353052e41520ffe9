package replay

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/droplift/droplift/ingest/event"
)

// Columns that every row has.
const (
	columnRecord = "@record"
	columnLine   = "@line"
	columnFile   = "@file"
)

// plan is a mapping bound to the columns of one file.
type plan struct {
	mapping *Mapping
	// names are the columns: the source's own, then extra, then the lookups' values.
	names   []string
	source  int
	extra   []string // values of the columns between, the first three set per row
	lookups []*matches
	skip    []boundCondition
	fields  []boundExpression
}

type boundCondition struct {
	*condition
	column, sameAs int
}

type boundExpression struct {
	*expression
	columns []int // one per part, −1 for a literal
	// whole says that the field holds whole numbers.
	whole bool
}

// references lists the columns that the mapping names, each once.
func (m *Mapping) references() []string {
	var refs []string
	add := func(ref string) {
		if ref != "" && !slices.Contains(refs, ref) {
			refs = append(refs, ref)
		}
	}
	for i := range m.lookups {
		add(m.lookups[i].from)
	}
	for i := range m.skip {
		add(m.skip[i].column)
		add(m.skip[i].sameAs)
	}
	for i := range m.fields {
		for _, part := range m.fields[i].parts {
			add(part.column)
		}
	}
	return refs
}

// computed lists the columns that no file has, and the values of the constant ones among them.
func (m *Mapping) computed(path string) (names, values []string, err error) {
	names = []string{columnRecord, columnLine, columnFile}
	values = []string{"", "", filepath.Base(path)}
	if m.pattern == nil {
		return names, values, nil
	}
	groups := m.pattern.FindStringSubmatch(filepath.Base(path))
	if groups == nil {
		return nil, nil, errors.New("the file's name does not match file_pattern " + m.pattern.String())
	}
	for i, name := range m.pattern.SubexpNames() {
		if name != "" {
			names = append(names, name)
			values = append(values, groups[i])
		}
	}
	return names, values, nil
}

// wanted lists the columns that the file itself must supply.
func (m *Mapping) wanted(computed []string) []string {
	return slices.DeleteFunc(m.references(), func(ref string) bool {
		return slices.Contains(computed, ref) ||
			slices.ContainsFunc(m.lookups, func(l lookup) bool { return l.value == ref })
	})
}

// bind resolves every column; the error joins all that the file does not have.
func (m *Mapping) bind(path string, columns, computed, values []string, lookups []*matches) (*plan, error) {
	p := &plan{mapping: m, source: len(columns), extra: values, lookups: lookups}
	p.names = append(append(p.names, columns...), computed...)
	problems := &problems{mapping: m.name}
	resolve := func(line int, ref string) int {
		if ref == "" {
			return -1
		}
		i := slices.Index(p.names, ref)
		switch {
		case i >= 0 && slices.Contains(p.names[i+1:], ref):
			problems.at(line, "column %q is there twice in %s", ref, path)
		case i >= 0:
			return i
		}
		// Without such a name, a number counts the file's own columns from 1.
		if n, err := strconv.Atoi(ref); i < 0 && err == nil && n >= 1 && n <= p.source {
			return n - 1
		}
		if i < 0 {
			problems.at(line, "no column %q in %s; there are %s", ref, path, strings.Join(p.names, ", "))
		}
		return -1
	}
	for _, l := range lookups {
		l.from = resolve(l.line, l.lookup.from)
		p.names = append(p.names, l.value)
	}
	for i := range m.skip {
		c := &m.skip[i]
		p.skip = append(p.skip, boundCondition{c, resolve(c.line, c.column), resolve(c.line, c.sameAs)})
	}
	for i := range m.fields {
		e := &m.fields[i]
		b := boundExpression{expression: e, whole: e.target.integral()}
		for _, part := range e.parts {
			b.columns = append(b.columns, resolve(e.line, part.column))
		}
		p.fields = append(p.fields, b)
	}
	return p, errors.Join(problems.errs()...)
}

// tally is what a row added to the counts besides its outcome.
type tally struct {
	residues int64
	// unmatched holds the lookups, by position, that found nothing.
	unmatched []int
}

// complete appends the computed columns and the lookups to the row's values.
func (p *plan) complete(r *row, record uint64, count *tally) *rejection {
	p.extra[0] = strconv.FormatUint(record, 10)
	p.extra[1] = strconv.FormatInt(r.line, 10)
	r.values = append(r.values, p.extra...)
	for i, l := range p.lookups {
		key := strings.TrimSpace(r.values[l.from])
		v, ok := l.values[key]
		if !ok {
			if l.required {
				problem := reject(reasonNoMatch, "%q is not in %s", key, l.file)
				problem.column = p.names[l.from]
				return problem
			}
			count.unmatched = append(count.unmatched, i)
			v = l.fallback
		}
		r.values = append(r.values, v)
	}
	return nil
}

// skips says whether the row is to be left out.
func (p *plan) skips(r *row) bool {
	for i := range p.skip {
		c := &p.skip[i]
		text := strings.TrimSpace(r.values[c.column])
		switch {
		case c.empty && text == "":
			return true
		case c.sameAs >= 0 && text == strings.TrimSpace(r.values[c.sameAs]):
			return true
		case slices.Contains(c.equals, text):
			return true
		case c.number != nil:
			if d, problem := parseDecimal(text); problem == nil && d.Cmp(c.number) == 0 {
				return true
			}
		}
	}
	return false
}

// fill sets the event's fields.
func (p *plan) fill(ev *event.Event, r *row, count *tally) *rejection {
	for i := range p.fields {
		e := &p.fields[i]
		problem := e.apply(ev, e.text(r), count)
		if problem != nil {
			problem.field = e.target.name
			problem.column = p.columnName(e)
			return problem
		}
	}
	return nil
}

// apply converts text and sets the field; empty text leaves it at its default.
func (e *boundExpression) apply(ev *event.Event, text string, count *tally) *rejection {
	if text == "" {
		if e.target.required {
			return reject(event.ReasonMissingField.String(), "%s is empty", e.target.name)
		}
		return nil
	}
	v, problem := e.convert(text, ev, count)
	if problem != nil {
		return problem
	}
	return e.target.set(ev, v)
}

// refusal words what the event definition has against a field that fill set.
func (p *plan) refusal(err *event.Error, r *row) *rejection {
	problem := reject(err.Reason.String(), "the event definition refuses the event")
	problem.field = err.Field
	for i := range p.fields {
		if e := &p.fields[i]; e.target.name == err.Field {
			problem.detail = fmt.Sprintf("the event definition refuses %q", e.text(r))
			problem.column = p.columnName(e)
		}
	}
	return problem
}

// columnName names the column that an expression read, if it is one.
func (p *plan) columnName(e *boundExpression) string {
	if len(e.parts) == 1 {
		return e.parts[0].column
	}
	return ""
}

// text evaluates from, const or template, then default. A template with an empty column is empty.
func (e *boundExpression) text(r *row) string {
	text := e.parts[0].literal
	if len(e.parts) == 1 && e.columns[0] >= 0 {
		text = strings.TrimSpace(r.values[e.columns[0]])
	} else if len(e.parts) > 1 {
		var b strings.Builder
		for i, part := range e.parts {
			if e.columns[i] < 0 {
				b.WriteString(part.literal)
				continue
			}
			v := strings.TrimSpace(r.values[e.columns[i]])
			if v == "" {
				b.Reset()
				break
			}
			b.WriteString(v)
		}
		text = b.String()
	}
	if text == "" {
		return e.fallback
	}
	return text
}

// convert applies map and as.
func (e *boundExpression) convert(text string, ev *event.Event, count *tally) (value, *rejection) {
	if e.values != nil {
		mapped, ok := e.values[text]
		if !ok {
			return value{}, reject(reasonNotInMap, "%q is none of %s", text, knownKeys(e.values))
		}
		text = mapped
	}
	switch e.as {
	case asTime:
		n, problem := e.clock.ms(text)
		return value{n: n, whole: true}, problem
	case asSteps:
		n, problem := e.steps.ms(text)
		return value{n: n, whole: true}, problem
	case asSecondsToMS:
		return secondsToMS(text, e.whole)
	case asRound:
		d, problem := parseDecimal(text)
		if problem != nil {
			return value{}, problem
		}
		n, problem := roundHalfEven(d, text)
		return value{n: n, whole: true}, problem
	case asDecimalToMinor:
		digits, ok := event.CurrencyDigits(ev.Checkout.Currency)
		if !ok {
			return value{}, reject(event.ReasonUnknownCurrency.String(), "%q is no ISO 4217 code in force", ev.Checkout.Currency)
		}
		n, residue, problem := decimalToMinor(text, digits, e.tolerance)
		if residue {
			count.residues++
		}
		return value{n: n, whole: true}, problem
	}
	return value{text: text}, nil
}
