package replay

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"

	"github.com/droplift/droplift/ingest/event"
)

// fields parses every expression, and checks that nothing required is left out.
func (p *mappingParser) fields(n ast.Node) {
	m := p.mapping
	mapped := make(map[string]bool)
	for _, member := range p.members(n, "fields") {
		t, ok := m.targets[member.key]
		if !ok {
			p.at(member.line, "%s events have no field %q; known: %s", m.kind.Topic(), member.key, knownKeys(m.targets))
			continue
		}
		mapped[member.key] = true
		m.fields = append(m.fields, p.expression(t, member))
	}
	for _, name := range requiredTargets(m.targets) {
		if !mapped[name] {
			p.at(lineOf(n), "fields: %s events need %s", m.kind.Topic(), name)
		}
	}
	// Amounts are converted by the row's own currency, so that comes first.
	slices.SortStableFunc(m.fields, func(a, b expression) int {
		return rank(a) - rank(b)
	})
	for _, e := range m.fields {
		if e.as == asDecimalToMinor && (m.targets["currency"] == nil || !mapped["currency"]) {
			p.at(e.line, "%s: %s needs the field currency", e.target.name, asDecimalToMinor)
		}
	}
}

func rank(e expression) int {
	if e.target.name == "currency" {
		return 0
	}
	return 1
}

func (p *mappingParser) expression(t *target, m member) expression {
	e := expression{line: m.line, target: t, clock: clock{zone: time.UTC}}
	sources := 0
	given := make(map[string]int) // option -> line
	note := func(option string, set func(ast.Node)) func(ast.Node) {
		return func(n ast.Node) {
			given[option] = lineOf(n)
			set(n)
		}
	}
	p.object(m.value, m.key, map[string]func(ast.Node){
		"from": func(n ast.Node) {
			sources++
			e.parts = []part{{column: p.full(n, m.key+": from")}}
		},
		"const": func(n ast.Node) {
			sources++
			e.parts = []part{{literal: p.text(n, "const")}}
		},
		"template": func(n ast.Node) {
			sources++
			e.parts = p.template(n)
		},
		"default": func(n ast.Node) { e.fallback = p.text(n, "default") },
		"map": func(n ast.Node) {
			e.values = make(map[string]string)
			for _, m := range p.members(n, "map") {
				e.values[m.key] = p.text(m.value, "a value of map")
			}
		},
		"as": func(n ast.Node) {
			e.as = p.text(n, "as")
			known := []string{asTime, asSteps, asDecimalToMinor, asSecondsToMS, asRound}
			if !slices.Contains(known, e.as) {
				p.at(lineOf(n), "%s: as %q is none of %s", m.key, e.as, strings.Join(known, ", "))
			}
		},
		"layout": note("layout", func(n ast.Node) { e.clock.layout = p.text(n, "layout") }),
		"zone": note("zone", func(n ast.Node) {
			zone, err := time.LoadLocation(p.text(n, "zone"))
			if err != nil {
				p.at(lineOf(n), "%s: %v", m.key, err)
				return
			}
			e.clock.zone = zone
		}),
		"start": note("start", func(n ast.Node) {
			start, err := time.Parse(time.RFC3339Nano, p.text(n, "start"))
			if err != nil {
				p.at(lineOf(n), "%s: start must be a time like 2006-01-02T15:04:05Z", m.key)
			}
			e.steps.start = start
		}),
		"step": note("step", func(n ast.Node) {
			step, err := time.ParseDuration(p.text(n, "step"))
			if err != nil || step <= 0 {
				p.at(lineOf(n), "%s: step must be a duration above 0 like 15.7s", m.key)
			}
			e.steps.step = step
		}),
		"tolerance": note("tolerance", func(n ast.Node) {
			d, r := parseDecimal(p.text(n, "tolerance"))
			if r != nil || d.Sign() <= 0 {
				p.at(lineOf(n), "%s: tolerance must be a number above 0, in major units", m.key)
				return
			}
			e.tolerance = d
		}),
	})
	if sources != 1 {
		p.at(m.line, "%s needs one of from, const, template", m.key)
	}
	p.options(&e, given)
	p.constant(&e)
	return e
}

// options checks that the conversion has the options that it needs and no other.
func (p *mappingParser) options(e *expression, given map[string]int) {
	needs := map[string][]string{asTime: {"layout"}, asSteps: {"start", "step"}}[e.as]
	allowed := map[string][]string{
		asTime: {"layout", "zone"}, asSteps: {"start", "step"}, asDecimalToMinor: {"tolerance"},
	}[e.as]
	for _, option := range needs {
		if _, ok := given[option]; !ok {
			p.at(e.line, "%s: as %s needs %s", e.target.name, e.as, option)
		}
	}
	for _, option := range slices.Sorted(maps.Keys(given)) {
		if !slices.Contains(allowed, option) {
			p.at(given[option], "%s: %s does not go with as %q", e.target.name, option, e.as)
		}
	}
	whole := e.as == asTime || e.as == asSteps || e.as == asDecimalToMinor || e.as == asRound
	if whole && !e.target.integral() || e.as == asSecondsToMS && !e.target.integral() && e.target.kind.String() != "float64" {
		p.at(e.line, "%s does not take the result of as %s", e.target.name, e.as)
	}
}

// constant tries a constant out, so that a wrong one is a fault of the mapping and not of every row.
func (p *mappingParser) constant(e *expression) {
	if e.as != "" || len(e.parts) != 1 || e.parts[0].column != "" {
		return
	}
	text := e.parts[0].literal
	if text == "" {
		text = e.fallback
	}
	if mapped, ok := e.values[text]; ok {
		text = mapped
	}
	if text == "" {
		return
	}
	var scratch event.Event
	if r := e.target.set(&scratch, value{text: text}); r != nil {
		p.at(e.line, "%s: %s", e.target.name, r.detail)
	}
}

// template splits text with {column} references; {{ and }} stand for braces.
func (p *mappingParser) template(n ast.Node) []part {
	text := p.text(n, "template")
	var parts []part
	var literal strings.Builder
	flush := func() {
		if literal.Len() > 0 {
			parts = append(parts, part{literal: literal.String()})
			literal.Reset()
		}
	}
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case strings.HasPrefix(text[i:], "{{"), strings.HasPrefix(text[i:], "}}"):
			literal.WriteByte(c)
			i++
		case c == '{':
			end := strings.IndexByte(text[i:], '}')
			if end <= 1 {
				p.at(lineOf(n), "template %q has a { that names no column", text)
				return nil
			}
			flush()
			parts = append(parts, part{column: text[i+1 : i+end]})
			i += end
		case c == '}':
			p.at(lineOf(n), "template %q has a } without {", text)
			return nil
		default:
			literal.WriteByte(c)
		}
	}
	flush()
	if !slices.ContainsFunc(parts, func(p part) bool { return p.column != "" }) {
		p.at(lineOf(n), "template %q names no column: use const", text)
	}
	return parts
}
