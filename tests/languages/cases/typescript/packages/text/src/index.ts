export { shout } from "./shout";
