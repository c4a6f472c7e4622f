var e=!0;export{e as ready};
