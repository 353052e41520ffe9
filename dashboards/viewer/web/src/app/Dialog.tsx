import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";

interface Props {
  label: string;
  onClose(): void;
  /** Where it opens on a wide screen; in the middle if absent. A phone shows it as a sheet from below. */
  anchor?: HTMLElement | null;
  wide?: boolean;
  children: ComponentChildren;
}

/** Dialog is the browser's own: it keeps the focus inside and closes on Esc. Focus returns to where it was. */
export function Dialog({ label, onClose, anchor, wide, children }: Props) {
  const ref = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    const dialog = ref.current;
    if (!dialog) return;
    const before = document.activeElement;
    dialog.showModal();
    if (anchor) {
      const at = anchor.getBoundingClientRect();
      dialog.style.setProperty("--top", `${Math.max(8, Math.min(at.bottom + 6, innerHeight - dialog.offsetHeight - 8))}px`);
      dialog.style.setProperty("--left", `${Math.max(8, Math.min(at.left, innerWidth - dialog.offsetWidth - 8))}px`);
    }
    return () => {
      dialog.close();
      if (before instanceof HTMLElement && before.isConnected) before.focus();
    };
  }, []);
  return (
    <dialog
      ref={ref}
      class={`dialog${anchor ? " anchored" : ""}${wide ? " wide" : ""}`}
      aria-label={label}
      onCancel={(e) => {
        e.preventDefault();
        onClose();
      }}
      onClick={(e) => e.target === ref.current && onClose()}
    >
      <div class="dialog-body">
        <h2 dir="auto">{label}</h2>
        {children}
        {/* Last, so that the focus begins at the content. */}
        <button type="button" class="icon close" aria-label="Close" onClick={onClose}>
          <Icon name="close" />
        </button>
      </div>
    </dialog>
  );
}

const paths = {
  close: "M6 6l12 12M18 6L6 18",
  bell: "M6 16v-5a6 6 0 0 1 12 0v5l2 2H4zM10 21h4",
  chevron: "M7 10l5 5 5-5",
  clock: "M12 7v5l3 2M12 3a9 9 0 1 0 0 18a9 9 0 0 0 0-18z",
  dots: "M12 5.5m-.6 0a.6.6 0 1 0 1.2 0a.6.6 0 1 0-1.2 0M12 12m-.6 0a.6.6 0 1 0 1.2 0a.6.6 0 1 0-1.2 0M12 18.5m-.6 0a.6.6 0 1 0 1.2 0a.6.6 0 1 0-1.2 0",
  info: "M12 11v6M12 7v.01M12 3a9 9 0 1 0 0 18a9 9 0 0 0 0-18z",
  refresh: "M20 11a8 8 0 1 0-2 6M20 5v6h-6",
  share: "M12 15V4M8 8l4-4 4 4M5 13v7h14v-7",
  theme: "M12 3a9 9 0 1 0 9 9a7 7 0 0 1-9-9z",
  screen: "M4 9V4h5M20 9V4h-5M4 15v5h5M20 15v5h-5",
  help: "M9 9a3 3 0 1 1 4 3c-1 .5-1 1-1 2M12 17.5v.01M12 3a9 9 0 1 0 0 18a9 9 0 0 0 0-18z",
};

/** Icon is decoration: the control that holds it carries the name. */
export function Icon({ name }: { name: keyof typeof paths }) {
  return (
    <svg viewBox="0 0 24 24" width="18" height="18" fill="none" stroke="currentColor" stroke-width="2" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true">
      <path d={paths[name]} />
    </svg>
  );
}
