package report

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"regexp"
	"strings"
	"time"
)

//go:embed page.html.tmpl
var pageText string

//go:embed page.css
var pageStyle string

var page = template.Must(template.New("page").Funcs(template.FuncMap{
	"style":  func() template.CSS { return template.CSS(pageStyle) },
	"time":   func(t time.Time) string { return t.UTC().Format("2 Jan 2006 15:04") },
	"drawn":  drawn,
	"group":  group,
	"legend": legend,
}).Parse(pageText))

// Render writes the page. Nothing is written if it fails, which only a plot's values can cause.
func Render(w io.Writer, p Page) error {
	var out bytes.Buffer
	if err := page.Execute(&out, p); err != nil {
		return fmt.Errorf("report page: %w", err)
	}
	_, err := w.Write(out.Bytes())
	return err
}

var integerPart = regexp.MustCompile(`(^|[^.\d])\d{5,}`)

// group sets the digits of long integer parts in threes, apart by a narrow space that does not break.
func group(text string) string {
	return integerPart.ReplaceAllStringFunc(text, func(number string) string {
		digits := strings.TrimLeftFunc(number, func(r rune) bool { return r < '0' || r > '9' })
		out := number[:len(number)-len(digits)]
		for i, digit := range digits {
			if i > 0 && (len(digits)-i)%3 == 0 {
				out += "\u202f"
			}
			out += string(digit)
		}
		return out
	})
}

// drawing is one figure in its two sizes. The texts in them are escaped where they are drawn.
type drawing struct{ Wide, Narrow template.HTML }

func drawn(f Figure) (d drawing, err error) {
	for _, one := range []struct {
		size size
		to   *template.HTML
	}{{wide, &d.Wide}, {narrow, &d.Narrow}} {
		svg, err := f.Plot.svg(one.size, f.Description)
		if err != nil {
			return drawing{}, fmt.Errorf("figure %q: %w", f.Caption, err)
		}
		*one.to = template.HTML(svg)
	}
	return d, nil
}

// key is one entry of a legend.
type key struct{ Name, Class string }

// legend is empty where one series speaks for itself.
func legend(p Plot) (keys []key) {
	for _, s := range p.Series {
		if s.Name == "" {
			continue
		}
		class := "key-1"
		if s.Muted {
			class = "key-2"
		}
		keys = append(keys, key{s.Name, class})
	}
	return keys
}
