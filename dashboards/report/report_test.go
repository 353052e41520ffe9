package report

import (
	"bytes"
	"flag"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// sample is a page with one of everything, and with names that want to break out of it.
func sample() Page {
	start := time.Date(2025, 9, 1, 10, 0, 0, 0, time.UTC)
	basis := Basis{N: "12345", Of: "viewers", From: start, To: start.Add(48 * time.Hour), Watermark: start.Add(time.Hour), Maturity: "provisional", Grade: "matched", Label: "observational"}
	return Page{
		Title: `"Première" <script>alert(1)</script> 🎬 עברית & 'co'`, Subtitle: `drop-1 by </style><img src=x onerror=alert(1)>`, Basis: basis,
		Headlines: []Headline{{"Margin", "-1234567.89 USD", `<b>after</b> costs`}},
		Sections: []Section{
			{ID: "one", Title: "Lines", Lead: "A lead.", Basis: basis,
				Figures: []Figure{
					{Caption: "A curve", Description: `rises "fast" & <far>`, Plot: Plot{XLabel: "age", YLabel: "<rate>", Series: []Series{
						{Name: "this", Kind: Line, X: []float64{0, 1, 2}, Y: []float64{0, .5, .6}, Low: []float64{0, .4, .5}, High: []float64{.1, .6, .7}},
						{Name: `</svg><script>alert(2)</script>`, Kind: Dashed, X: []float64{0, 2}, Y: []float64{.2, .1}, Muted: true}}}},
					{Caption: "Steps", Description: "steps", Plot: Plot{Series: []Series{{Kind: Step, X: []float64{0, 1, 2}, Y: []float64{0, .5, .6}, Low: []float64{0, .4, .5}, High: []float64{0, .6, .7}}}}},
					{Caption: "Bars", Description: "bars", Plot: Plot{Categories: []string{"gross", `<i>"refunds"</i>`}, Series: []Series{{Kind: Bar, X: []float64{0, 1}, Low: []float64{0, 10}, High: []float64{10, 7}, Labels: []string{"10", "-3"}}}}},
					{Caption: "Points", Description: "points", Plot: Plot{Categories: []string{"a", "b"}, Series: []Series{{Kind: Interval, X: []float64{0, 1}, Y: []float64{.5, .4}, Low: []float64{.4, .3}, High: []float64{.6, .5}}}}},
					{Caption: "Estimates", Description: "estimates", Plot: Plot{Categories: []string{"a"}, Series: []Series{{Kind: HorizontalInterval, X: []float64{0}, Y: []float64{.5}, Low: []float64{-.4}, High: []float64{.6}}}}},
				},
				Tables: []Table{{Caption: "Cells", Columns: []Column{{Name: "of"}, {Name: "n", Numeric: true}, {Name: "maturity"}},
					Rows: [][]string{{`<script>alert(3)</script>`, "1234567.125", "final"}, {"שלום", "–", "provisional"}}, Note: "A note."}}},
			{ID: "two", Title: "Nothing", Empty: "Nothing has happened."},
		},
		Footer: "The end.",
	}
}

func render(t *testing.T, p Page) string {
	t.Helper()
	var out bytes.Buffer
	if err := Render(&out, p); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestRender(t *testing.T) {
	text := render(t, sample())
	golden := filepath.Join("testdata", "page.html")
	if *update {
		if err := os.WriteFile(golden, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if text != string(want) {
		t.Errorf("the page differs from %s; look at it and run with -update", golden)
	}
}

// TestPageStandsAlone parses the page and walks it: no element that loads or runs anything, and names are text wherever they stand.
func TestPageStandsAlone(t *testing.T) {
	text := render(t, sample())
	root, err := html.Parse(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	count := map[string]int{}
	ids := map[string]bool{}
	for n := range root.Descendants() {
		if n.Type != html.ElementNode {
			continue
		}
		count[n.Data]++
		switch n.Data {
		case "script", "img", "iframe", "object", "embed", "image", "use":
			t.Errorf("a %s element", n.Data)
		case "th":
			if _, ok := attribute(n, "scope"); !ok {
				t.Error("a heading cell without scope")
			}
		case "svg":
			if label, ok := attribute(n, "aria-label"); !ok || label == "" {
				t.Error("a plot without a description")
			}
		}
		for _, a := range n.Attr {
			if strings.HasPrefix(a.Key, "on") {
				t.Errorf("%s has a handler %s", n.Data, a.Key)
			}
			if a.Key == "href" || a.Key == "src" {
				if !strings.HasPrefix(a.Val, "#") && a.Val != "data:," {
					t.Errorf("%s leads to %q", n.Data, a.Val)
				}
			}
			if a.Key == "id" {
				if ids[a.Val] {
					t.Errorf("id %s stands twice", a.Val)
				}
				ids[a.Val] = true
			}
		}
	}
	for element, want := range map[string]int{"h1": 1, "h2": 2, "svg": 10, "figcaption": 5, "caption": 1, "main": 1, "nav": 1, "title": 1, "style": 1} {
		if count[element] != want {
			t.Errorf("%d %s elements, want %d", count[element], element, want)
		}
	}
	if len(text) > 1<<20 {
		t.Errorf("the page has %d bytes", len(text))
	}
	if regexp.MustCompile(`#0102`).MatchString(text) {
		t.Error("a stand-in colour is left")
	}
	for _, said := range []string{"n = 12345 viewers", "window 1 Sep 2025 10:00 to 3 Sep 2025 10:00 UTC", "watermark 1 Sep 2025 11:00 UTC",
		`<span class="badge provisional">provisional</span>`, "evidence: matched", "-1\u202f234\u202f567.89 USD", "1\u202f234\u202f567.125", "Nothing has happened."} {
		if !strings.Contains(text, said) {
			t.Errorf("the page does not say %q", said)
		}
	}
}

func attribute(n *html.Node, key string) (string, bool) {
	for _, a := range n.Attr {
		if a.Key == key {
			return a.Val, true
		}
	}
	return "", false
}

// TestContrast computes WCAG 2.2's contrast of every pair of colours that text is written in, in both settings.
func TestContrast(t *testing.T) {
	settings := strings.SplitN(pageStyle, "@media (prefers-color-scheme: dark)", 2)
	variable := regexp.MustCompile(`--([a-z0-9-]+): (#[0-9a-f]{6})`)
	for i, name := range []string{"light", "dark"} {
		colours := map[string]string{}
		block, _, _ := strings.Cut(settings[i], "}")
		for _, match := range variable.FindAllStringSubmatch(block, -1) {
			colours[match[1]] = match[2]
		}
		for _, pair := range []struct {
			ink, paper string
			least      float64
		}{{"ink", "paper", 7}, {"ink", "card", 7}, {"ink-soft", "paper", 4.5}, {"ink-soft", "card", 4.5}, {"accent", "paper", 4.5}, {"warn-ink", "warn", 4.5},
			{"good-ink", "good", 4.5}, {"series-1", "card", 3}, {"series-2", "card", 3}} {
			if got := contrast(colours[pair.ink], colours[pair.paper]); got < pair.least {
				t.Errorf("%s: %s on %s has contrast %.2f, want %.1f", name, pair.ink, pair.paper, got, pair.least)
			}
		}
	}
}

func contrast(a, b string) float64 {
	x, y := luminance(a), luminance(b)
	return (max(x, y) + .05) / (min(x, y) + .05)
}

func luminance(hex string) (sum float64) {
	if len(hex) != 7 {
		return math.NaN()
	}
	for i, weight := range []float64{.2126, .7152, .0722} {
		var v int
		for _, c := range hex[1+2*i : 3+2*i] {
			v = 16*v + strings.IndexRune("0123456789abcdef", c)
		}
		c := float64(v) / 255
		if c <= .04045 {
			sum += weight * c / 12.92
		} else {
			sum += weight * math.Pow((c+.055)/1.055, 2.4)
		}
	}
	return sum
}

func TestPlotRefuses(t *testing.T) {
	one := []float64{1}
	for name, p := range map[string]Plot{
		"without a series":   {},
		"is empty":           {Series: []Series{{Name: "s"}}},
		"not finite":         {Series: []Series{{X: one, Y: []float64{math.NaN()}}}},
		"2 values for 1":     {Series: []Series{{X: one, Y: []float64{1, 2}}}},
		"lacks values of it": {Series: []Series{{Kind: Interval, X: one, Y: one}}},
	} {
		err := Render(&bytes.Buffer{}, Page{Sections: []Section{{Figures: []Figure{{Caption: "c", Plot: p}}}}})
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("got %v, want %q", err, name)
		}
	}
}

func TestTicks(t *testing.T) {
	for _, tt := range []struct {
		low, high float64
		count     int
		want      string
	}{{0, 1, 5, "0 0.2 0.4 0.6 0.8 1"}, {0, 48, 8, "0 10 20 30 40"}, {-3, 7, 5, "-2 0 2 4 6"}, {5, 5, 5, "5 5.2 5.4 5.6 5.8 6"}} {
		var got []string
		for _, tick := range (ticks{nil, tt.count}).Ticks(tt.low, tt.high) {
			got = append(got, tick.Label)
		}
		if strings.Join(got, " ") != tt.want {
			t.Errorf("[%g, %g]: %v, want %s", tt.low, tt.high, got, tt.want)
		}
	}
}
