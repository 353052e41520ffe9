package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"github.com/droplift/droplift/dashboards"
)

// composeFile is what the tests below look at of deploy/compose.yaml.
type composeFile struct {
	Services map[string]struct {
		Image       string
		Build       struct{ Context, Dockerfile string }
		Environment map[string]any
		Ports       []string
		Volumes     []string
		DependsOn   map[string]struct{ Condition string } `yaml:"depends_on"`
		Healthcheck struct {
			Test    []string
			Retries int
		}
	}
	Volumes map[string]struct{}
}

func readYAML(t *testing.T, path string, into any) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(text, into); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return text
}

// exactly is a version down to its patch.
var exactly = regexp.MustCompile(`^[a-z0-9/.-]+[:@]v?\d+\.\d+\.\d+(\.\d+)*(-[a-z]+)?$`)

func TestCompose(t *testing.T) {
	var c composeFile
	text := string(readYAML(t, "deploy/compose.yaml", &c))
	for _, name := range []string{"kafka", "clickhouse", "prometheus", "grafana", "droplift"} {
		s, ok := c.Services[name]
		if !ok {
			t.Errorf("no service %s", name)
			continue
		}
		if s.Build.Dockerfile == "" && !exactly.MatchString(s.Image) {
			t.Errorf("%s: image %q is not pinned", name, s.Image)
		}
		if s.Build.Dockerfile != "" {
			if _, err := os.Stat(filepath.Join("deploy", s.Build.Context, s.Build.Dockerfile)); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		if len(s.Healthcheck.Test) < 2 || s.Healthcheck.Retries == 0 {
			t.Errorf("%s has no health check: %+v", name, s.Healthcheck)
		}
		if len(s.Ports) == 0 {
			t.Errorf("%s has no port", name)
		}
		for _, port := range s.Ports {
			if host, _, _ := strings.Cut(port, ":"); net.ParseIP(host) == nil || !net.ParseIP(host).IsLoopback() {
				t.Errorf("%s: port %s is not on loopback", name, port)
			}
		}
		for _, v := range s.Volumes {
			from, _, _ := strings.Cut(v, ":")
			if strings.HasPrefix(from, ".") {
				if _, err := os.Stat(filepath.Join("deploy", from)); err != nil || !strings.HasSuffix(v, ":ro") {
					t.Errorf("%s: mount %s is not read-only, or not there: %v", name, v, err)
				}
			} else if _, ok := c.Volumes[from]; !ok {
				t.Errorf("%s: nothing declares volume %s", name, from)
			}
		}
		for on, how := range s.DependsOn {
			if _, ok := c.Services[on]; !ok || how.Condition != "service_healthy" {
				t.Errorf("%s depends on %s, %q", name, on, how.Condition)
			}
		}
		for key, value := range s.Environment {
			if (strings.Contains(key, "PASSWORD") || strings.HasSuffix(key, "TOKEN")) && !strings.HasPrefix(fmt.Sprint(value), "${") {
				t.Errorf("%s: the secret %s stands in the file", name, key)
			}
		}
	}
	if plugin := fmt.Sprint(c.Services["grafana"].Environment["GF_PLUGINS_PREINSTALL_SYNC"]); !exactly.MatchString(plugin) {
		t.Errorf("the plugin %q is not pinned", plugin)
	}

	// Every secret is asked for in the example, without a value.
	example, err := os.ReadFile("deploy/.env.example")
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range regexp.MustCompile(`\$\{(\w+):\?`).FindAllStringSubmatch(text, -1) {
		if !slices.Contains(strings.Split(string(example), "\n"), secret[1]+"=") {
			t.Errorf("deploy/.env.example does not ask for %s", secret[1])
		}
	}

	// What it sets of Droplift's are flags that there are.
	known := map[string]bool{"DROPLIFT_CLICKHOUSE_PASSWORD": true, "DROPLIFT_CLICKHOUSE_READONLY_PASSWORD": true, "DROPLIFT_VIEWER_TOKEN": true}
	parser, err := newParser(&CLI{})
	if err != nil {
		t.Fatal(err)
	}
	for _, flag := range parser.Model.Flags {
		for _, env := range flag.Envs {
			known[env] = true
		}
	}
	for key := range c.Services["droplift"].Environment {
		if !known[key] {
			t.Errorf("droplift knows no %s", key)
		}
	}
}

func TestDockerfile(t *testing.T) {
	text, err := os.ReadFile("deploy/Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	stages := regexp.MustCompile(`(?m)^FROM (\S+)`).FindAllStringSubmatch(string(text), -1)
	if len(stages) < 2 || !strings.HasPrefix(stages[0][1], "golang:") || !regexp.MustCompile(`(?m)^USER `).Match(text) {
		t.Errorf("stages %v, or it runs as root", stages)
	}
	for _, stage := range stages {
		if !regexp.MustCompile(`^\w+:\d+\.\d+(\.\d+)?-\w+$`).MatchString(stage[1]) {
			t.Errorf("image %s is not pinned", stage[1])
		}
	}
}

func TestGrafanaProvisioning(t *testing.T) {
	var sources struct {
		APIVersion  int `yaml:"apiVersion"`
		Datasources []struct {
			Name, UID, Type, URL string
			JSONData             map[string]any    `yaml:"jsonData"`
			SecureJSONData       map[string]string `yaml:"secureJsonData"`
		}
	}
	readYAML(t, "deploy/grafana/provisioning/datasources/droplift.yaml", &sources)
	types := map[string]bool{}
	for _, s := range sources.Datasources {
		types[s.Type] = true
		if s.UID == "" || s.Name == "" {
			t.Errorf("data source %+v has no pinned UID", s)
		}
		for key, value := range s.SecureJSONData {
			if !strings.HasPrefix(value, "$") {
				t.Errorf("%s: the secret %s stands in the file", s.Name, key)
			}
		}
		if s.Type == "grafana-clickhouse-datasource" && (s.JSONData["protocol"] != "http" || s.JSONData["username"] != "viewer") {
			t.Errorf("ClickHouse is not asked over HTTP by the reader: %v", s.JSONData)
		}
	}
	// Those that the dashboards choose from.
	if sources.APIVersion != 1 || len(types) != 2 || !types["prometheus"] || !types["grafana-clickhouse-datasource"] {
		t.Errorf("version %d, types %v", sources.APIVersion, types)
	}

	var providers struct {
		Providers []struct {
			Name, Type, Folder string
			AllowUIUpdates     bool `yaml:"allowUiUpdates"`
			Options            struct{ Path string }
		}
	}
	readYAML(t, "deploy/grafana/provisioning/dashboards/droplift.yaml", &providers)
	var c composeFile
	readYAML(t, "deploy/compose.yaml", &c)
	grafana := c.Services["grafana"]
	if len(providers.Providers) != 1 || providers.Providers[0].AllowUIUpdates || providers.Providers[0].Type != "file" ||
		!slices.Contains(grafana.Volumes, "./grafana/dashboards:"+providers.Providers[0].Options.Path+":ro") {
		t.Errorf("providers %+v, volumes %v", providers.Providers, grafana.Volumes)
	}
	// Grafana puts nothing for a variable that is not set, and ends at once where that leaves a setting without its value.
	var files []string
	for _, pattern := range []string{"*/*.yaml", "*/*.yml"} {
		found, err := filepath.Glob("deploy/grafana/provisioning/" + pattern)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	filled := 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, variable := range regexp.MustCompile(`\$\{?([A-Z][A-Z0-9_]+)`).FindAllStringSubmatch(string(text), -1) {
			filled++
			if value := fmt.Sprint(grafana.Environment[variable[1]]); value == "<nil>" || value == "" || strings.HasSuffix(value, ":-}") {
				t.Errorf("%s needs %s, which deploy/compose.yaml may leave empty: %s", file, variable[1], value)
			}
		}
	}
	if filled == 0 {
		t.Errorf("no file of %v is filled in by the environment", files)
	}

	all, err := dashboards.All()
	if err != nil {
		t.Fatal(err)
	}
	if home := filepath.Base(fmt.Sprint(grafana.Environment["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])); home != all[0].File() {
		t.Errorf("Grafana opens on %s", home)
	}
}

func TestPrometheusConfig(t *testing.T) {
	var p struct {
		Global        map[string]string
		RuleFiles     []string `yaml:"rule_files"`
		ScrapeConfigs []struct {
			JobName       string                       `yaml:"job_name"`
			StaticConfigs []struct{ Targets []string } `yaml:"static_configs"`
		} `yaml:"scrape_configs"`
	}
	readYAML(t, "deploy/prometheus/prometheus.yaml", &p)
	var sources struct {
		Datasources []struct {
			Type     string
			JSONData map[string]any `yaml:"jsonData"`
		}
	}
	readYAML(t, "deploy/grafana/provisioning/datasources/droplift.yaml", &sources)
	for _, s := range sources.Datasources {
		if s.Type == "prometheus" && s.JSONData["timeInterval"] != p.Global["scrape_interval"] {
			t.Errorf("Grafana reckons with scrapes each %v, Prometheus scrapes each %s", s.JSONData["timeInterval"], p.Global["scrape_interval"])
		}
	}
	if len(p.ScrapeConfigs) != 1 || p.ScrapeConfigs[0].JobName != "droplift" || len(p.RuleFiles) != 1 {
		t.Errorf("%+v", p)
	}
	if promtool, err := exec.LookPath("promtool"); err == nil {
		if out, err := exec.Command(promtool, "check", "config", "deploy/prometheus/prometheus.yaml").CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
	}
}
