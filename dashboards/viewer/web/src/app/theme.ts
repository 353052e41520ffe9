import { useEffect } from "preact/hooks";
import { useMedia } from "./hooks";
import type { ThemeChoice } from "./place";

const stored = "droplift-theme";

/** The choice of the last visit, for addresses that name none. */
export function rememberedTheme(): ThemeChoice {
  try {
    const theme = localStorage.getItem(stored);
    return theme === "dark" || theme === "light" ? theme : "system";
  } catch {
    return "system"; // storage is switched off
  }
}

export function rememberTheme(theme: ThemeChoice): void {
  try {
    localStorage.setItem(stored, theme);
  } catch {
    // Without storage the address still carries it.
  }
}

/** useTheme dresses the page and says what the system's choice comes to. */
export function useTheme(choice: ThemeChoice): "dark" | "light" {
  const light = useMedia("(prefers-color-scheme: light)");
  const theme = choice === "system" ? (light ? "light" : "dark") : choice;
  useEffect(() => {
    document.documentElement.dataset["theme"] = theme;
  }, [theme]);
  return theme;
}
