import { formatted } from "./index";

/* 👋 */ export const first = formatted(1);
export const second = formatted("two", 4);
