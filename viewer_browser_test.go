package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/droplift/droplift/dashboards"
	"github.com/droplift/droplift/deploy/embedded/embeddedtest"
	"github.com/droplift/droplift/ingest/simulate"
)

// TestViewer watches a drop in a browser as live ops do: from before it is known until it is over, then every dashboard
// on every screen.
func TestViewer(t *testing.T) {
	p := startPipeline(t, t.TempDir(), "--viewer-addr=127.0.0.1:0", "--viewer-timeout=1m", "--metrics-addr=127.0.0.1:0", "--features-addr=127.0.0.1:0", "--idle-after=2s",
		"--lift-every=1s", "--label-horizon="+demoHorizon.String(), "--edge-price-egress-gb="+demoEgress)
	v := &viewerPage{chromium: startBrowser(t, func(address string) bool {
		return strings.HasPrefix(address, p.node.viewerAt()+"/") || strings.HasPrefix(address, "data:") || strings.HasPrefix(address, "blob:")
	}), at: p.node.viewerAt(), shots: screenshots(t)}

	// Fast enough for a test, and slow enough for the pipeline to know of players before they land again.
	demo := &DemoCmd{Simulation: Simulation{Scenario: "demo", Seed: pipelineSeed(t), Truth: filepath.Join(t.TempDir(), "truth.json"), Speed: 4800}, Exit: true}
	scenario, err := demo.scenario()
	if err != nil {
		t.Fatal(err)
	}
	generator, err := simulate.New(scenario)
	if err != nil {
		t.Fatal(err)
	}
	v.drop = generator.MainDrop()
	var d *simulatedDrop
	t.Run("waits for a drop, then plays it", func(t *testing.T) {
		v.t = t
		v.screen(1440, 1200, "dark")
		v.open("/")
		v.until(`/waiting|no drop/i.test(document.body.innerText)`)
		// Whether the pipeline works is seen before there is a drop.
		v.open("/d/droplift-pipeline")
		v.whole(1440)
		v.settled()
		var shown []shownPanel
		v.evaluate(panelsScript, &shown)
		for _, panel := range shown {
			if panel.Problem || panel.Note == "" && panel.Marks == 0 {
				t.Errorf("without a drop panel %q shows %+v", panel.Title, panel)
			}
		}
		v.open(v.path("droplift-drop-live", nil))
		played := make(chan struct{})
		go func() {
			defer close(played)
			report, err := captureStdout(func() error { return demo.play(t.Context(), p.node, generator) })
			if !errors.Is(err, errDone) {
				t.Errorf("the demo ended with %v\n%s", err, report)
				return
			}
			d = p.in(t).simulated(demo.Truth)
		}()
		t.Cleanup(func() { <-played })
		// Nobody touches the page: it must come to show the drop by itself, once the history before it is there.
		v.within(10*time.Minute, `[...document.querySelectorAll("article.panel")].some(a => /landed/.test(a.innerText) && /[1-9]/.test(a.innerText))`)
		<-played
		v.forgive("404") // of the drop that was not there yet
		v.check(t)
	})
	if d == nil {
		t.FailNow()
	}
	d.pipeline = d.pipeline.in(t)
	d.goOn()
	// A demo that is started again has its models.
	const registered = "SELECT (SELECT count() FROM models WHERE published_at < '2026-01-01'), (SELECT groupArray((champion != '', shadow != '')) FROM rollouts)"
	if err := p.node.learn(t.Context(), p.client, scenario); err != nil {
		t.Error(err)
	}
	eventually(t, time.Minute, func() error {
		if d.tsv("SELECT count() FROM estimates WHERE startsWith(metric, 'change_') AND drop_id = '"+v.drop+"'") == "0" {
			return errors.New("what the drop changed is not published")
		}
		return nil
	})
	d.settle()
	d.want("models and rollouts", registered, "2 [(1,0),(1,1)]")

	all, err := dashboards.All()
	if err != nil {
		t.Fatal(err)
	}
	axe, err := os.ReadFile("dashboards/viewer/web/node_modules/axe-core/axe.min.js")
	if err != nil {
		embeddedtest.Missing(t, "web", "make web fetches axe-core: "+err.Error())
	}
	for _, screen := range []struct {
		name          string
		width, height int64
	}{{"desktop", 1440, 3000}, {"phone", 390, 9000}} {
		for _, theme := range []string{"dark", "light"} {
			for _, board := range all {
				t.Run(screen.name+" "+theme+" "+board.UID(), func(t *testing.T) {
					v.t = t
					v.screen(screen.width, screen.height, theme)
					v.open("/d/" + board.UID() + "?" + url.Values{"var-drop": {v.drop}}.Encode()) // with its own range
					v.whole(screen.width)
					v.settled()
					v.picture(strings.TrimPrefix(board.UID(), "droplift-") + "-" + theme + "-" + screen.name)
					v.drawn(board)
					v.accessible(string(axe))
					v.check(t)
				})
			}
		}
	}
	t.Run("keyboard", func(t *testing.T) {
		v.t = t
		v.screen(1440, 5000, "light")
		v.open(v.path("droplift-drop-live", nil))
		v.settled()
		v.keyboard()
		v.check(t)
	})
	t.Run("what is not there", func(t *testing.T) {
		v.t = t
		v.screen(1440, 1200, "light")
		v.absent()
	})
}

// viewerPage drives the page that the viewer serves.
type viewerPage struct {
	*chromium
	t     *testing.T
	at    string
	drop  string
	shots string
}

// path is a dashboard's address for the drop, from before its start to its newest data.
func (v *viewerPage) path(uid string, more url.Values) string {
	query := url.Values{"var-drop": {v.drop}, "from": {"start-30m"}, "to": {"data"}}
	for name, values := range more {
		query[name] = values
	}
	return "/d/" + uid + "?" + query.Encode()
}

func (v *viewerPage) run(actions ...chromedp.Action) {
	v.t.Helper()
	ctx, cancel := context.WithTimeout(v.ctx, time.Minute)
	defer cancel()
	if err := chromedp.Run(ctx, actions...); err != nil {
		v.t.Fatal(err)
	}
}

func (v *viewerPage) screen(width, height int64, theme string) {
	v.t.Helper()
	v.run(
		emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: theme}, {Name: "prefers-reduced-motion", Value: "reduce"}}),
		chromedp.EmulateViewport(width, height))
}

func (v *viewerPage) open(path string) {
	v.t.Helper()
	v.run(chromedp.Navigate(v.at+path), chromedp.WaitReady("main"))
}

// until waits for a JavaScript expression to hold.
func (v *viewerPage) until(expression string) {
	v.t.Helper()
	v.within(2*time.Minute, expression)
}

func (v *viewerPage) within(patience time.Duration, expression string) {
	v.t.Helper()
	var held bool
	ctx, cancel := context.WithTimeout(v.ctx, patience)
	defer cancel()
	if err := chromedp.Run(ctx, chromedp.Poll(expression, &held, chromedp.WithPollingTimeout(0))); err != nil {
		var text string
		v.run(chromedp.Evaluate(`document.body.innerText`, &text))
		v.picture("failed")
		v.t.Fatalf("%s never held: %v\n%s", expression, err, text)
	}
}

// settled waits until no panel loads any more.
func (v *viewerPage) settled() {
	v.t.Helper()
	v.until(`document.querySelectorAll("article.panel").length > 0 && !document.querySelector("article[aria-busy=true], .skeleton")`)
}

// evaluate runs JavaScript and reads its answer.
func (v *viewerPage) evaluate(script string, into any) {
	v.t.Helper()
	v.run(chromedp.Evaluate(script, into, func(p *runtime.EvaluateParams) *runtime.EvaluateParams { return p.WithAwaitPromise(true) }))
}

// whole makes the screen as high as the page, since panels that are out of sight ask for nothing.
func (v *viewerPage) whole(width int64) {
	v.t.Helper()
	v.until(`document.querySelectorAll("article.panel").length > 0`)
	var height int64
	v.evaluate(`document.documentElement.scrollHeight`, &height)
	v.run(chromedp.EmulateViewport(width, height))
}

func (v *viewerPage) picture(name string) {
	v.t.Helper()
	var width, height float64
	v.evaluate(`innerWidth`, &width)
	v.evaluate(`Math.max(0, ...[...document.querySelectorAll("article.panel")].map(a => a.getBoundingClientRect().bottom)) + 12 || innerHeight`, &height)
	var png []byte
	v.run(chromedp.ActionFunc(func(ctx context.Context) (err error) {
		png, err = page.CaptureScreenshot().WithClip(&page.Viewport{Width: width, Height: max(height, 200), Scale: 1}).Do(ctx)
		return err
	}))
	if err := os.WriteFile(filepath.Join(v.shots, name+".png"), png, 0o644); err != nil {
		v.t.Fatal(err)
	}
}

// shownPanel is one panel as it stands on the page.
type shownPanel struct {
	Title, Note         string
	Problem             bool
	X, Y, Width, Height float64
	// Marks are what a reader sees of the data: the pictures drawn, cells and figures.
	Marks int
	// Outside are the panel's elements that leave it.
	Outside int
}

const panelsScript = `[...document.querySelectorAll("article.panel")].map(a => {
	const box = a.getBoundingClientRect();
	const drawn = [...a.querySelectorAll("canvas")].filter(c => {
		const context = c.getContext("2d");
		const pixels = context ? context.getImageData(0, 0, c.width, c.height).data : [];
		const colours = new Set();
		for (let i = 0; i < pixels.length; i += 4 * 7) if (pixels[i + 3] > 0) colours.add(pixels[i] << 16 | pixels[i + 1] << 8 | pixels[i + 2]);
		return colours.size > 2;
	});
	const note = a.querySelector(".note");
	return {
		Title: a.querySelector("h3").innerText, Note: note ? note.innerText : "", Problem: !!a.querySelector(".problem"),
		X: box.x, Y: box.y + scrollY, Width: box.width, Height: box.height,
		Marks: drawn.length + a.querySelectorAll(".picture td, .picture svg, .picture [class*=value], .picture [class*=stat]").length,
		Outside: [...a.querySelectorAll(".picture > *")].filter(e => {
			const b = e.getBoundingClientRect();
			return b.width > 0 && (b.left < box.left - 2 || b.right > box.right + 2);
		}).length,
	};
})`

// drawn wants every panel of the dashboard on the page, in its place and with something in it.
func (v *viewerPage) drawn(board dashboards.Dashboard) {
	v.t.Helper()
	var shown []shownPanel
	var overflow int
	v.evaluate(panelsScript, &shown)
	v.evaluate(`document.documentElement.scrollWidth - document.documentElement.clientWidth`, &overflow)
	if overflow > 0 {
		v.t.Errorf("the page is %d px wider than the screen", overflow)
	}
	var titles []string
	for _, panel := range shown {
		titles = append(titles, panel.Title)
	}
	for _, target := range board.Panels() {
		if !slices.Contains(titles, target.Title) {
			v.t.Errorf("panel %q is not on the page", target.Title)
		}
	}
	for i, a := range shown {
		if a.Problem || a.Note != "" && emptyAfterSimulation[a.Title] == "" {
			v.t.Errorf("panel %q says: %s", a.Title, a.Note)
		}
		if a.Note == "" && a.Marks == 0 || a.Width < 100 || a.Height < 60 || a.Outside > 0 {
			v.t.Errorf("panel %q is not drawn: %+v", a.Title, a)
		}
		for _, b := range shown[:i] {
			if a.X+1 < b.X+b.Width && b.X+1 < a.X+a.Width && a.Y+1 < b.Y+b.Height && b.Y+1 < a.Y+a.Height {
				v.t.Errorf("panels %q and %q overlap", a.Title, b.Title)
			}
		}
	}
}

// emptyAfterSimulation are the panels that say in words why there is nothing after the demo's drop, and the reasons.
var emptyAfterSimulation = map[string]string{
	"Settled within 5 s and 60 s": "nothing is posted as it comes where a day passes in seconds",
}

// accessible runs axe-core, which must find nothing serious.
func (v *viewerPage) accessible(axe string) {
	v.t.Helper()
	var report string
	v.evaluate(axe+`; axe.run(document, {resultTypes: ["violations"]}).then(r => JSON.stringify(r.violations.map(v =>
		({ID: v.id, Impact: v.impact, Help: v.help, Nodes: v.nodes.map(n => n.target.join(" ") + ": " + (n.failureSummary || ""))}))))`, &report)
	var violations []struct {
		ID, Impact, Help string
		Nodes            []string
	}
	if err := json.Unmarshal([]byte(report), &violations); err != nil {
		v.t.Fatal(err)
	}
	for _, found := range violations {
		if found.Impact == "serious" || found.Impact == "critical" {
			v.t.Errorf("%s (%s): %s, %d times, first %s", found.ID, found.Impact, found.Help, len(found.Nodes), found.Nodes[0])
		}
	}
}

// keyboard walks the page without a pointer.
func (v *viewerPage) keyboard() {
	v.t.Helper()
	var panels int
	v.evaluate(`document.querySelectorAll("article.panel").length`, &panels)
	reached := map[string]bool{}
	for range 400 {
		v.run(chromedp.KeyEvent(kb.Tab))
		var at struct {
			Panel, Control string
			Outline        bool
		}
		// A choice is outlined as a whole, around its label.
		v.evaluate(`(() => { const e = document.activeElement; return {
			Panel: e.matches("article.panel") ? e.dataset.panel : "", Control: e.tagName,
			Outline: e === document.body || [e, e.parentElement].some(o => getComputedStyle(o).outlineStyle !== "none") }; })()`, &at)
		if !at.Outline {
			v.t.Errorf("the focus on a %s %s cannot be seen", at.Control, at.Panel)
		}
		if at.Panel != "" {
			reached[at.Panel] = true
		}
		if len(reached) == panels {
			break
		}
	}
	if len(reached) != panels {
		v.t.Errorf("the Tab key reaches %d of %d panels", len(reached), panels)
	}
	v.run(chromedp.KeyEvent("?"))
	v.until(`!!document.querySelector("[role=dialog], dialog[open]")`)
	v.run(chromedp.KeyEvent(kb.Escape))
	v.until(`!document.querySelector("[role=dialog], dialog[open]")`)
	v.evaluate(`document.querySelector("article.panel").focus()`, nil)
	v.run(chromedp.KeyEvent(kb.Enter))
	v.until(`!!document.querySelector("article.panel.full")`)
	v.run(chromedp.KeyEvent(kb.Escape))
	v.until(`!document.querySelector("article.panel.full")`)
}

// absent asks for what is not there: the page must say so, and not break.
func (v *viewerPage) absent() {
	for _, c := range []struct {
		name, path, says string
	}{
		{"unknown drop", v.path("droplift-drop-live", url.Values{"var-drop": {`no'such"drop<img src=x onerror=alert(1)>🎁שלום`}}), "there is no drop"},
		{"unknown dashboard", "/d/no-such-dashboard", "no-such-dashboard"},
		{"future", v.path("droplift-drop-live", url.Values{"from": {"now+1h"}, "to": {"now+2h"}}), "nothing in this range"},
		{"empty range", v.path("droplift-drop-live", url.Values{"from": {"end"}, "to": {"start"}}), "range"},
	} {
		v.open(c.path)
		v.until(fmt.Sprintf(`document.body.innerText.toLowerCase().includes(%q)`, c.says))
		var injected int
		v.evaluate(`document.querySelectorAll("main img, header img").length`, &injected)
		if injected > 0 {
			v.t.Errorf("%s: %d images came in through names", c.name, injected)
		}
	}
	v.forgive("404", "400")
	v.check(v.t)
}

// forgive takes away what the browser's log says of answers with these codes: they are no fault of the page.
func (v *viewerPage) forgive(codes ...string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.complaints = slices.DeleteFunc(v.complaints, func(c string) bool {
		return strings.Contains(c, "Failed to load resource") && slices.ContainsFunc(codes, func(code string) bool { return strings.Contains(c, "status of "+code) })
	})
}
