package main

import (
	"bytes"
	"context"
	"fmt"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/ipc"
	"github.com/apache/arrow/go/v17/arrow/memory"
	"github.com/apache/arrow/go/v17/parquet/file"
	"github.com/apache/arrow/go/v17/parquet/pqarrow"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/sinks/clickhouse"
)

// TestAnalysts plays a small drop and asks about it as analysts do: in every format, and as a page.
func TestAnalysts(t *testing.T) {
	s := playTiny(startPipeline(t, t.TempDir()), pipelineSeed(t))
	t.Run("formats", func(t *testing.T) { testFormats(t, s) })
	t.Run("describe", func(t *testing.T) {
		text := s.command(&QueryCmd{Name: "drop_roi", Describe: true})
		for _, said := range []string{"purpose   Return of a drop", "grain     One row per drop and currency.", "-p drop=String (default empty)", "    margin Int64\n"} {
			if !strings.Contains(text, said) {
				t.Errorf("--describe does not say %q:\n%s", said, text)
			}
		}
	})
	page := filepath.Join(t.TempDir(), "report.html")
	if out := s.command(&ReportCmd{Drop: s.drop, HTML: page, LiftOptions: liftDefaults}); out != "" {
		t.Errorf("the command that writes a file printed %q", out)
	}
	t.Run("books", func(t *testing.T) { testPageBooks(t, s, page) })
	t.Run("browser", func(t *testing.T) { testPageInBrowser(t, page) })
	if err := (&ReportCmd{Drop: "nowhere", HTML: page, LiftOptions: liftDefaults}).Run(context.Background(), s.cfg); err == nil || !strings.Contains(err.Error(), "not in the catalogue") {
		t.Errorf("an unknown drop: %v", err)
	}
	if left, err := filepath.Glob(filepath.Join(filepath.Dir(page), ".*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// testFormats reads the same answer back in every format.
func testFormats(t *testing.T, s *simulatedDrop) {
	ask := func(format string) []byte {
		t.Helper()
		name := filepath.Join(t.TempDir(), "answer")
		s.command(&QueryCmd{Name: "drop_roi", Param: map[string]string{"drop": s.drop}, Format: format, Output: name})
		answer, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return answer
	}
	want := strings.Split(s.tsv("SELECT currency, gross FROM drop_roi WHERE drop_id = '"+s.drop+"' ORDER BY gross DESC, currency"), "\n")
	if len(want) < 3 {
		t.Fatalf("the drop sold in %d currencies only", len(want))
	}
	for i := range want {
		want[i] = strings.ReplaceAll(want[i], "\t", " ")
	}
	for format, read := range map[string]func([]byte) ([]arrow.Record, error){"parquet": readParquet, "arrow": readArrow} {
		records, err := read(ask(format))
		if err != nil {
			t.Fatalf("%s: %v", format, err)
		}
		var got []string
		for _, r := range records {
			currency, gross := r.Schema().FieldIndices("currency")[0], r.Schema().FieldIndices("gross")[0]
			for i := range int(r.NumRows()) {
				got = append(got, r.Column(currency).ValueStr(i)+" "+r.Column(gross).ValueStr(i))
			}
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: %v, want %v", format, got, want)
		}
	}
	if csv := string(ask("csv")); !strings.HasPrefix(csv, `"drop_id",`) || strings.Count(csv, "\n") != len(want)+1 {
		t.Errorf("csv:\n%s", csv)
	}
	if json := string(ask("json")); !strings.HasPrefix(json, `{"drop_id":"`+s.drop+`"`) || strings.Count(json, "\n") != len(want) {
		t.Errorf("json:\n%s", json)
	}
	if table := string(ask("table")); !strings.Contains(table, "─drop_id─") {
		t.Errorf("table:\n%s", table)
	}
	for _, format := range []string{"parquet", "Arrow", "Native"} {
		if _, err := (&QueryCmd{Format: format}).format(true); err == nil || !strings.Contains(err.Error(), "--output FILE") {
			t.Errorf("%s to a terminal: %v", format, err)
		}
	}
}

func readParquet(answer []byte) (records []arrow.Record, err error) {
	reader, err := file.NewParquetReader(bytes.NewReader(answer))
	if err != nil {
		return nil, err
	}
	rows, err := pqarrow.NewFileReader(reader, pqarrow.ArrowReadProperties{}, memory.DefaultAllocator)
	if err != nil {
		return nil, err
	}
	table, err := rows.ReadTable(context.Background())
	if err != nil {
		return nil, err
	}
	for chunks := array.NewTableReader(table, 0); chunks.Next(); {
		record := chunks.Record()
		record.Retain()
		records = append(records, record)
	}
	return records, nil
}

func readArrow(answer []byte) (records []arrow.Record, err error) {
	reader, err := ipc.NewFileReader(bytes.NewReader(answer))
	if err != nil {
		return nil, err
	}
	for i := range reader.NumRecords() {
		record, err := reader.RecordAt(i)
		if err != nil {
			return nil, err
		}
		records = append(records, record)
	}
	return records, nil
}

// testPageBooks looks for the simulator's own books on the page.
func testPageBooks(t *testing.T, s *simulatedDrop, page string) {
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	if len(text) > 1<<20 {
		t.Errorf("the page has %d bytes", len(text))
	}
	roi := s.query("drop_roi", clickhouse.Params{"drop": s.drop})
	for i := range roi.Rows {
		r := row{roi, i}
		for _, column := range []string{"gross", "refunds", "net_revenue"} {
			if amount := r.money(column, r.text("currency")); !strings.Contains(strings.ReplaceAll(string(text), "\u202f", ""), ">"+amount+"<") {
				t.Errorf("%s of %s is %s, which the page does not say", column, r.text("currency"), amount)
			}
		}
		digits, ok := event.CurrencyDigits(r.text("currency"))
		if !ok || digits > 4 {
			t.Errorf("currency %s has %d digits", r.text("currency"), digits)
		}
	}
	for _, title := range []string{"Revenue and return", "Conversion velocity", "Funnel", "Time to convert", "Latency and conversion", "Cohorts",
		"Localization", "Experiments", "Inventory", "Edge cost against plan", "Settlement", "What the drop changed", "Data quality"} {
		if !strings.Contains(string(text), ">"+title+"</h2>") {
			t.Errorf("no section %q", title)
		}
	}
}

// testPageInBrowser opens the page in Chromium, light and dark, on a desk and on a phone.
func testPageInBrowser(t *testing.T, page string) {
	chromium := startBrowser(t, func(url string) bool { return url == "file://"+page || strings.HasPrefix(url, "data:") })
	shots := screenshots(t)
	for _, theme := range []string{"light", "dark"} {
		for _, screen := range []struct {
			name          string
			width, height int64
		}{{"desktop", 1280, 900}, {"phone", 375, 800}} {
			t.Run(theme+" "+screen.name, func(t *testing.T) {
				var plots []plotBox
				var overflow, broken int
				var whole []byte
				err := chromedp.Run(chromium.ctx,
					emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: theme}}),
					chromedp.EmulateViewport(screen.width, screen.height),
					chromedp.Navigate("file://"+page), chromedp.WaitReady("footer"),
					chromedp.Evaluate(`document.documentElement.scrollWidth - document.documentElement.clientWidth`, &overflow),
					chromedp.Evaluate(plotsScript, &plots),
					chromedp.Evaluate(`[...document.querySelectorAll("nav a")].filter(a => !document.querySelector(a.getAttribute("href"))).length`, &broken),
					chromedp.FullScreenshot(&whole, 100))
				if err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(shots, theme+"-"+screen.name+".png"), whole, 0o644); err != nil {
					t.Fatal(err)
				}
				if overflow > 0 {
					t.Errorf("the page is %d px wider than the screen", overflow)
				}
				if broken > 0 {
					t.Errorf("%d links of the contents lead nowhere", broken)
				}
				if len(plots) < 6 {
					t.Errorf("%d plots are visible, want 6 or more", len(plots))
				}
				for _, p := range plots {
					if p.Marks < 4 || p.Data < 60 || p.Outside > 0 || p.Width < 200 || p.Height < 80 {
						t.Errorf("a plot is not drawn: %+v", p)
					}
				}
				checkPixels(t, whole, plots, theme)
			})
		}
	}
	chromium.check(t)
}

// plotBox is one visible plot: its place on the page, its paths, the characters of their data, and how many leave its box.
type plotBox struct {
	Name                 string
	X, Y, Width, Height  float64
	Marks, Data, Outside int
}

const plotsScript = `[...document.querySelectorAll("figure svg")].map(svg => {
	const box = svg.getBoundingClientRect();
	if (box.width === 0) return null;
	const paths = [...svg.querySelectorAll("path")];
	return {
		Name: svg.getAttribute("aria-label"), X: box.x + scrollX, Y: box.y + scrollY, Width: box.width, Height: box.height, Marks: paths.length,
		Data: paths.reduce((n, p) => n + p.getAttribute("d").length, 0),
		Outside: [...paths, ...svg.querySelectorAll("text")].filter(p => {
			const b = p.getBoundingClientRect();
			return b.left < box.left - 2 || b.right > box.right + 2 || b.top < box.top - 2 || b.bottom > box.bottom + 2;
		}).length,
	};
}).filter(p => p)`

// checkPixels wants series in every plot's place on the screenshot, in a colour that only they have, and a background of the theme.
func checkPixels(t *testing.T, screenshot []byte, plots []plotBox, theme string) {
	t.Helper()
	picture, err := png.Decode(bytes.NewReader(screenshot))
	if err != nil {
		t.Fatal(err)
	}
	r, g, b, _ := picture.At(2, 2).RGBA()
	if bright := (r+g+b)/3 > 0x8000; bright != (theme == "light") {
		t.Errorf("the background is %x %x %x in the %s theme", r>>8, g>>8, b>>8, theme)
	}
	for _, p := range plots {
		coloured := 0
		for y := int(p.Y); y < int(p.Y+p.Height); y++ {
			for x := int(p.X); x < int(p.X+p.Width); x++ {
				if r, _, b, _ := picture.At(x, y).RGBA(); b > r+0x3000 {
					coloured++
				}
			}
		}
		if coloured < 100 {
			t.Errorf("plot %q has %d coloured pixels", p.Name, coloured)
		}
	}
}
